"""Commands that put a trained model into other programs."""
