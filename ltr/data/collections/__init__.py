"""Queries, documents and judgements by id: ir-datasets, plain folders, Python's own documentation."""

from ltr.io.caching.datasets_home import find_datasets_home

find_datasets_home()  # before any module of this package imports ir-datasets
