"""What a score of an explanation is: its metrics and settings, the excerpts it is taken on, the questions it asks."""
