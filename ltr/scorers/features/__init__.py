"""Scorers of documents that are described by numbers."""
