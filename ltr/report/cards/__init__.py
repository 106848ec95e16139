"""Model cards: the README.md that a model hub shows of a saved model."""
