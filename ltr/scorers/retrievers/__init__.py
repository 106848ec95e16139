"""Scorers that read queries and documents apart, so that documents are encoded once and searched."""
