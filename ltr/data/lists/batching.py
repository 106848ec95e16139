"""Which lists go into which batch, and to which process: global batches that no number of processes changes."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from itertools import pairwise

import numpy as np
from torch.utils.data import DistributedSampler

from ltr.data.lists.sampling import Drawn
from ltr.errors import ConfigError, DataError

#: lists are sorted by length inside chunks of this many batches: alike lengths in a batch, yet well mixed
CHUNK = 64


def n_batches_by_lists(n_lists: int, lists_per_batch: int) -> int:
    """Batches in an epoch: a rest of less than half a batch makes none of its own.

    >>> n_batches_by_lists(32, 16), n_batches_by_lists(39, 16), n_batches_by_lists(40, 16), n_batches_by_lists(3, 16)
    (2, 2, 3, 1)
    """
    whole, rest = divmod(n_lists, lists_per_batch)
    return max(1, whole + (2 * rest >= lists_per_batch))


def batches_by_lists(tokens: np.ndarray, lists_per_batch: int, seed: int, epoch: int) -> list[np.ndarray]:
    """The batches of an epoch, each of ``lists_per_batch`` lists of alike lengths, in random order.

    Lists are shuffled, sorted by tokens inside chunks of ``CHUNK`` batches, cut, and the batches shuffled. A last
    batch of less than half the size is joined to the one before.

    Args:
        tokens: [lists] tokens of each list.
        lists_per_batch: lists in a batch, at least 1.
        seed: together with ``epoch`` decides the order.
        epoch: from 0.

    Returns:
        Numbers of lists, an array per batch; every list once.
    """
    n_batches = n_batches_by_lists(len(tokens), lists_per_batch)
    bounds = np.arange(n_batches + 1) * lists_per_batch
    bounds[-1] = len(tokens)
    ends = np.append(np.arange(0, n_batches, CHUNK), n_batches)

    def cuts(i: int, sizes: np.ndarray) -> np.ndarray:
        return bounds[ends[i] + 1 : ends[i + 1]] - bounds[ends[i]]

    return _arranged(tokens, lambda _: bounds[ends], cuts, seed, epoch)


def batches_by_tokens(tokens: np.ndarray, n_batches: int, seed: int, epoch: int, ranks: int = 1) -> list[np.ndarray]:
    """``n_batches`` batches of about equally many tokens, of lists of alike lengths, in random order.

    Like ``batches_by_lists``, but cut where tokens add up. The number of batches is given, so that it does not change
    from epoch to epoch: schedules and validation count on that.

    Args:
        tokens: [lists] tokens of each list.
        n_batches: from 1 to lists / ranks.
        seed: together with ``epoch`` decides the order.
        epoch: from 0.
        ranks: least lists in a batch.
    """
    ends = np.append(np.arange(0, n_batches, CHUNK), n_batches)

    def bounds(sizes: np.ndarray) -> np.ndarray:
        return np.concatenate([[0], _even_cuts(sizes, ends[1:-1], n_batches, ranks), [len(sizes)]])

    def cuts(i: int, sizes: np.ndarray) -> np.ndarray:
        n = int(ends[i + 1] - ends[i])
        return _even_cuts(sizes, np.arange(1, n), n, ranks)

    return _arranged(tokens, bounds, cuts, seed, epoch)


def _arranged(
    tokens: np.ndarray,
    bounds: Callable[[np.ndarray], np.ndarray],
    cuts: Callable[[int, np.ndarray], np.ndarray],
    seed: int,
    epoch: int,
) -> list[np.ndarray]:
    """Shuffle lists, cut them into chunks at ``bounds``, sort each by tokens, cut it into batches, shuffle these."""
    random = np.random.default_rng([seed, epoch, 1])
    shuffled = random.permutation(len(tokens))
    batches: list[np.ndarray] = []
    for i, (first, end) in enumerate(pairwise(bounds(tokens[shuffled]).tolist())):
        chunk = shuffled[first:end]
        chunk = chunk[np.argsort(tokens[chunk], kind="stable")]
        batches += np.split(chunk, cuts(i, tokens[chunk]))
    return [batches[i] for i in random.permutation(len(batches))]


def _even_cuts(sizes: np.ndarray, at: np.ndarray, n: int, least: int) -> np.ndarray:
    """Where to cut pieces of given sizes so that before each cut lie ``at / n`` of their sum.

    Between cuts, and before the first and behind the last, lie at least ``least`` pieces for each n-th part.
    """
    sums = np.cumsum(sizes)
    cuts = np.searchsorted(sums, sums[-1] * at / n) + 1
    needed = at * least
    cuts = np.maximum.accumulate(np.maximum(cuts - needed, 0)) + needed
    return np.minimum(cuts, len(sizes) - (n - at) * least)


def deal(tokens: np.ndarray, ranks: int) -> list[np.ndarray]:
    """Deal the lists of one batch to processes so that each gets about equally many tokens, and at least one list.

    >>> [part.tolist() for part in deal(np.array([9, 1, 5, 5]), 2)]
    [[0, 1], [2, 3]]
    """
    parts: list[list[int]] = [[] for _ in range(ranks)]
    # the least loaded process is next; whoever has no list yet comes first, whatever the loads
    waiting = [(False, 0, rank) for rank in range(ranks)]
    for place in np.argsort(-tokens, kind="stable").tolist():
        _, load, rank = waiting[0]
        parts[rank].append(place)
        heapq.heapreplace(waiting, (True, load + int(tokens[place]), rank))
    return [np.sort(np.array(part, np.int64)) for part in parts]


class TrainBatches(DistributedSampler):
    """This process's share of each global batch of an epoch, as ``Drawn`` lists.

    All processes work out the same global batches, the same for any number of processes, and take their part of each.
    (Only where a token budget holds fewer lists than there are processes, batches get more.) A subclass of
    DistributedSampler so that Lightning calls ``set_epoch`` and puts no sampler of its own in front.

    Args:
        draw: epoch -> (lists of that epoch, tokens of each list).
        lists_per_batch: lists in a global batch; or
        tokens_per_batch: about so many tokens in a global batch.
        seed: decides the order.
        rank: which process this is, from 0.
        ranks: number of processes.
        epoch: the epoch to begin with; training that resumes does not begin with 0.

    Raises:
        DataError: fewer lists than processes.
        ConfigError: not exactly one of the sizes, or one that cannot be.
    """

    def __init__(
        self,
        draw: Callable[[int], tuple[Drawn, np.ndarray]],
        lists_per_batch: int | None = None,
        tokens_per_batch: int | None = None,
        seed: int = 0,
        rank: int = 0,
        ranks: int = 1,
        epoch: int = 0,
    ):
        check_batch_size(lists_per_batch, tokens_per_batch)
        self._draw, self.seed, self.epoch, self.rank, self.num_replicas = draw, seed, epoch, rank, ranks
        self.lists_per_batch = lists_per_batch
        #: batches that the next iteration leaves out, since they were trained on before an interruption
        self.skip = 0
        _, tokens = draw(0)  # the same for every process and every epoch to begin with
        if len(tokens) < ranks:
            raise DataError(
                f"training: each of {ranks} processes needs a list in every batch, got {len(tokens)} lists in all; "
                "use fewer processes or more data"
            )
        if lists_per_batch is not None:
            if lists_per_batch < 2 * ranks and ranks > 1:
                raise ConfigError(
                    f"lists_per_batch counts the lists of all processes and must be at least {2 * ranks} (twice the "
                    f"{ranks} processes), got {lists_per_batch}"
                )
            self._n = n_batches_by_lists(len(tokens), lists_per_batch)
        else:
            self._n = int(np.clip(-(-tokens.sum() // tokens_per_batch), 1, len(tokens) // ranks))

    def set_epoch(self, epoch: int) -> None:
        """The epoch whose lists the next iteration gives."""
        self.epoch = epoch

    def __len__(self) -> int:
        """Batches in an epoch, the same in all epochs."""
        return self._n

    def __iter__(self) -> Iterator[Drawn]:
        drawn, tokens = self._draw(self.epoch)
        if self.lists_per_batch is not None:
            batches = batches_by_lists(tokens, self.lists_per_batch, self.seed, self.epoch)
        else:
            batches = batches_by_tokens(tokens, self._n, self.seed, self.epoch, self.num_replicas)
        skip, self.skip = self.skip, 0
        for batch in batches[skip:]:
            yield drawn.take(batch[deal(tokens[batch], self.num_replicas)[self.rank]])


def check_batch_size(lists_per_batch: int | None, tokens_per_batch: int | None) -> None:
    """Raise ConfigError unless exactly one size is given, and it is positive."""
    given = [size for size in (lists_per_batch, tokens_per_batch) if size is not None]
    if len(given) != 1:
        raise ConfigError(
            "batch size: give either lists_per_batch or tokens_per_batch (the other null), "
            f"got {lists_per_batch} and {tokens_per_batch}"
        )
    if given[0] < 1:
        raise ConfigError(f"batch size: must be at least 1, got {given[0]}")


class EvalBatches(DistributedSampler):
    """This process's share of lists to be scored, shortest documents first, in batches of about equal cost.

    Args:
        lists: all lists.
        tokens: [lists] tokens of each list.
        lengths: [lists] tokens of a typical document of each list; lists of alike documents stand together.
        tokens_per_batch: most tokens in a batch, unless one list alone has more.
        rank: which process this is, from 0.
        ranks: number of processes.

    Raises:
        DataError: fewer lists than processes.
    """

    def __init__(
        self, lists: Drawn, tokens: np.ndarray, lengths: np.ndarray, tokens_per_batch: int, rank: int, ranks: int
    ):
        if len(tokens) < ranks:
            raise DataError(
                f"evaluation: each of {ranks} processes needs a query, got {len(tokens)} queries; use fewer processes"
            )
        self.rank, self.num_replicas, self.epoch = rank, ranks, 0
        mine = deal(tokens, ranks)[rank] if ranks > 1 else np.arange(len(tokens))
        mine = mine[np.argsort(lengths[mine], kind="stable")]
        self._batches = [lists.take(part) for part in packed(mine, tokens[mine], tokens_per_batch)]

    def __len__(self) -> int:
        """Batches of this process."""
        return len(self._batches)

    def __iter__(self) -> Iterator[Drawn]:
        return iter(self._batches)


def packed(lists: np.ndarray, tokens: np.ndarray, most: int) -> list[np.ndarray]:
    """Cut lists, in order, into batches of at most ``most`` tokens; a longer list is a batch alone.

    >>> [batch.tolist() for batch in packed(np.array([4, 5, 6, 7]), np.array([2, 2, 9, 1]), 4)]
    [[4, 5], [6], [7]]
    """
    cuts, load = [], 0
    for place, size in enumerate(tokens.tolist()):
        if load and load + size > most:
            cuts.append(place)
            load = 0
        load += size
    return np.split(lists, cuts)
