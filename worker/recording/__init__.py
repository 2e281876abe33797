"""Recording what every neuron of a subject model responds to: the pass, what it keeps, and how it is ordered, stopped,
shared and gone on with."""
