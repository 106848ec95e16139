"""``ltr serve``: a trained ranker behind the wire formats that clients of rerankers already speak."""
