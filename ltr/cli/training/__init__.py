"""Commands that train: one ranker, many for a benchmark, and the demonstration."""
