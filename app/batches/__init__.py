"""What is asked of models, in batches: explanations and scores, with a budget, at a limit, through crashes."""
