"""Transformers that read query and document: loading, saving, packing, and how much memory a batch may take
(``memory_budget``; ``sparing`` where it was too much)."""
