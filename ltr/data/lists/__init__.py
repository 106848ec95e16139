"""From ids to batches: pools of documents, ``sampling`` of training lists and their negatives, ``batching``, ``loaders``."""
