"""How much of a score a map accounts for: orders of removal, what takes the place of what is removed, and gains."""
