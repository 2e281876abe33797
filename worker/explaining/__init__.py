"""Asking explainers what a neuron responds to."""
