"""Queries, documents and judgements by id: ir-datasets, plain folders, Python's own documentation."""
