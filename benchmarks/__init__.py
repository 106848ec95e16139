"""Scripts that measure quality and speed, and what they found."""
