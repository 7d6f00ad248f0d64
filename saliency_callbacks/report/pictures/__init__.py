"""What the page shows as pictures: maps, the classes of a large probe, and what callbacks drew."""
