"""Text inputs without a model: vocabularies, words, and tokens among other tokens."""
