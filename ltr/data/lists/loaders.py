"""Loaders of whole batches that work ahead of the model and go on where a training was interrupted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.utils.data import DataLoader, DistributedSampler

from ltr.data.lists.batching import TrainBatches
from ltr.data.lists.prefetch import prefetched
from ltr.errors import ConfigError


class Loader(DataLoader):
    """A loader of whole batches, in an order that its sampler decides.

    Without worker processes a thread makes the next batches while the model computes: the wait for a batch of 128
    documents fell from 0.9 to 0.07 ms (median), which counts on a GPU, where a step takes ten.

    Args:
        dataset: turns the sampler's items into batches.
        batches: the sampler.
        workers: processes that load; 0 loads in a thread of the training process.
    """

    def __init__(self, dataset: Any, batches: DistributedSampler, workers: int):
        super().__init__(
            dataset,
            batch_size=None,
            sampler=batches,
            collate_fn=_as_it_is,
            # one of its own: starting an epoch must not move the one that dropout draws from
            generator=torch.Generator(),
            num_workers=workers,
            persistent_workers=workers > 0,
            pin_memory=torch.cuda.is_available(),
        )

    def __iter__(self) -> Any:
        batches = super().__iter__()
        return batches if self.num_workers else prefetched(batches)


class TrainLoader(Loader):
    """A training loader that goes on inside an epoch when a training resumes.

    Lightning asks a loader with these two methods to take part in its checkpoints; how far the epoch had come is
    known by its loop, which counts finished batches.

    Args:
        dataset: turns the sampler's items into batches.
        batches: the sampler.
        done: batches of the current epoch that the training loop has finished.
        workers: see ``Loader``.
    """

    def __init__(self, dataset: Any, batches: TrainBatches, done: Callable[[], int], workers: int):
        super().__init__(dataset, batches, workers)
        self._batches, self._done = batches, done

    def state_dict(self) -> dict[str, int]:
        return {"batches": len(self._batches)}

    def load_state_dict(self, state: dict[str, int]) -> None:
        if state["batches"] != len(self._batches):
            raise ConfigError(
                f"resuming: an epoch had {state['batches']} batches and now has {len(self._batches)}; resume with the "
                "data and batch size that the training began with"
            )
        self._batches.skip = self._done() % len(self._batches)


def _as_it_is(batch: Any) -> Any:
    return batch
