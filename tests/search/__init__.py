"""Encoding, indexes on disk, exact search."""
