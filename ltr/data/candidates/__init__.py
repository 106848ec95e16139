"""Where candidates come from: BM25 (``bm25``, with ``bm25_tokenizer``), runs, judgements (``sources``), and hard negatives with
their filters (``mining``)."""
