"""The alarm that tells when a model starts to use a suspected shortcut."""
