"""Transformers that read query and document: loading, saving, packing, memory."""
