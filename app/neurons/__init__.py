"""What the subject model did: recorded activations of its neurons, and the pages that show them."""
