"""What the explainer said: prompt methods, explanation batches and their explanations."""
