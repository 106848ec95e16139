"""``ltr.json``: what a saved model must know about itself beyond its weights."""
