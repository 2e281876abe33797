"""The worker of NeuronJury: the only package that knows torch, transformers and openai."""
