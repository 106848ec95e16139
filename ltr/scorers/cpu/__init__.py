"""Scoring on CPUs: fused layers, 8-bit products, threads. Same scores, fewer operations."""

import os

#: shapes of products that oneDNN keeps its code for. By itself it keeps 1024, a third of a megabyte each: as lists of ever
#: other lengths come, 300 MB. It reads this number once, when it is first used
PRODUCTS = 256
if "DNNL_PRIMITIVE_CACHE_CAPACITY" not in os.environ:  # the older name of the same
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", str(PRODUCTS))
#: the same as torch keeps them beside, for each thread that computes: 1024 by itself, which in a server with two workers came
#: to .4 GB in an hour. A step uses few shapes, for all of its layers
PRODUCTS_OF_A_THREAD = 64
os.environ.setdefault("LRU_CACHE_CAPACITY", str(PRODUCTS_OF_A_THREAD))
