"""Pages that the server shows: one to try a model on, one that describes its addresses. They load nothing from elsewhere."""
