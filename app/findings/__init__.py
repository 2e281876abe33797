"""What all that is stored adds up to: the paper's tables 1, 2, 3, 4, 6 and 7 and its figure 3, with their tests."""
