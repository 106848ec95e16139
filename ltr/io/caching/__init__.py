"""What is computed once and kept in the user's cache."""
