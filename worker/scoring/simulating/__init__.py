"""Simulators: they read an explanation and an excerpt's tokens and predict what the neuron does at each of them."""
