"""Target layers: named, found automatically, and read as maps."""
