"""Scripts that measure how well losses and models rank."""
