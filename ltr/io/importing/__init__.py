"""Names in code: what classes take, read from their source; what users name, imported; what packages load lazily."""
