"""What an explanation is worth: scorers that read its text and excerpts it was not made from."""
