"""What computes: the models, and the engine that scores with them."""
