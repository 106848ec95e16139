"""From texts to vectors, and from vectors to the documents of a query: a first stage with a trained encoder."""
