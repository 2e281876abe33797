"""Neurons whose truth is known, because they were made up: raters practise on them and are checked by them."""
