"""Where candidates come from: BM25, runs, judgements."""
