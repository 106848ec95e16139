"""Causal language models as scorers: prompted rerankers, rewards, and policies whose completions are scored."""
