"""From text to excerpts of tokens."""
