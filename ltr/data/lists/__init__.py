"""From ids to batches: pools, sampling of training lists, batches, loaders."""
