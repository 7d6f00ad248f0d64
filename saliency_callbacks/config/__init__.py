"""What a user writes, read and checked."""
