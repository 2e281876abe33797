"""What the raters judged: blinded studies, judgements, and the tables made of them."""
