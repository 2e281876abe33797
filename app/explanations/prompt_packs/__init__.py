"""Prompt packs: folders with the words of the prompts. `default/` is our own; a researcher can load another."""
