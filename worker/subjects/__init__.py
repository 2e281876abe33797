"""Subject models: finding a model's files, where its neurons are, token ids in and activations out."""
