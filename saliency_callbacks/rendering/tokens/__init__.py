"""Text inputs as pictures, HTML and Markdown: every word on the color of its score."""
