"""Words, lengths and punctuation that give the class of a text away."""
