"""How hosted and other servers answer, written down from their public documentation, each beside what is made of it."""
