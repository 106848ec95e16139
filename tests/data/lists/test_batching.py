from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ltr.data.lists import batching
from ltr.data.lists.batching import (
    EvalBatches,
    TrainBatches,
    batches_by_lists,
    batches_by_tokens,
    check_batch_size,
    deal,
    packed,
)
from ltr.data.lists.sampling import Drawn
from ltr.errors import ConfigError, DataError
from ltr.io.offsets import offsets_of

sizes = st.lists(st.integers(1, 500), min_size=1, max_size=200).map(np.array)


def drawn_of(tokens, epoch=0):
    """Lists of two documents whose numbers tell epoch and list."""
    n = len(tokens)
    docs = np.repeat(np.arange(n), 2) * 1000 + epoch
    return Drawn(np.arange(n), offsets_of(np.full(n, 2)), docs, np.tile([1.0, 0.0], n)), tokens


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    monkeypatch.setattr(batching, "CHUNK", 3)


@settings(max_examples=60, deadline=None)
@given(sizes, st.integers(1, 20), st.integers(0, 3))
def test_batches_by_lists_hold_every_list_once(tokens, size, epoch):
    batches = batches_by_lists(tokens, size, 0, epoch)
    assert sorted(np.concatenate(batches).tolist()) == list(range(len(tokens)))
    lengths = sorted(len(batch) for batch in batches)
    others = [n for n in lengths if n != size]
    assert len(others) <= 1
    if len(tokens) >= size:
        assert all(size / 2 <= n < 1.5 * size for n in lengths)


@settings(max_examples=60, deadline=None)
@given(sizes, st.integers(1, 4), st.data())
def test_batches_by_tokens_hold_every_list_once_and_are_even(tokens, ranks, data):
    if len(tokens) < ranks:
        return
    n = data.draw(st.integers(1, len(tokens) // ranks))
    batches = batches_by_tokens(tokens, n, 0, 1, ranks)
    assert len(batches) == n
    assert sorted(np.concatenate(batches).tolist()) == list(range(len(tokens)))
    assert min(len(batch) for batch in batches) >= ranks


def test_token_batches_come_near_their_mean():
    tokens = np.random.default_rng(0).integers(50, 300, 3000)
    sums = [tokens[batch].sum() for batch in batches_by_tokens(tokens, 100, 0, 0)]
    assert max(sums) < tokens.sum() / 100 * 1.1
    assert min(sums) > tokens.sum() / 100 * 0.9


def test_batches_hold_alike_lengths_in_random_order():
    tokens = np.random.default_rng(0).integers(1, 1000, 900)
    for batches in (batches_by_lists(tokens, 10, 0, 0), batches_by_tokens(tokens, 90, 0, 0)):
        spread = np.mean([np.ptp(tokens[batch]) for batch in batches])
        assert spread < 600  # 818 expected of ten random lists, a third of 999 in chunks of three batches
        means = [tokens[batch].mean() for batch in batches]
        assert abs(np.corrcoef(np.arange(len(means)), means)[0, 1]) < 0.3


def test_order_depends_on_seed_and_epoch_alone():
    tokens = np.random.default_rng(0).integers(1, 1000, 64)
    same = [batches_by_lists(tokens, 8, 5, 2) for _ in range(2)]
    assert [batch.tolist() for batch in same[0]] == [batch.tolist() for batch in same[1]]
    for seed, epoch in ((5, 3), (6, 2)):
        other = batches_by_lists(tokens, 8, seed, epoch)
        assert [batch.tolist() for batch in other] != [batch.tolist() for batch in same[0]]


@settings(max_examples=60, deadline=None)
@given(sizes, st.integers(1, 5))
def test_dealing_gives_every_list_once_and_each_process_one(tokens, ranks):
    if len(tokens) < ranks:
        return
    parts = deal(tokens, ranks)
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(tokens)))
    assert all(len(part) for part in parts)
    loads = [tokens[part].sum() for part in parts]
    assert max(loads) - min(loads) <= tokens.max()


def test_lists_without_tokens_leave_no_process_empty():
    assert all(len(part) == 1 for part in deal(np.zeros(3, np.int64), 3))


@settings(max_examples=40, deadline=None)
@given(st.integers(8, 60), st.integers(1, 4), st.booleans(), st.integers(0, 3))
@example(60, 4, False, 1)  # batches of enough lists for all
@example(9, 4, False, 0)  # a batch of two lists for four processes, were it not given more
def test_processes_share_the_batches_of_one_process(n, ranks, by_lists, epoch):
    tokens = np.random.default_rng(n).integers(10, 100, n)
    size = {"lists_per_batch": 8} if by_lists else {"tokens_per_batch": 500}

    def draw(epoch):
        return drawn_of(np.roll(tokens, epoch), epoch)

    alone = TrainBatches(draw, **size)
    shares = [TrainBatches(draw, **size, rank=rank, ranks=ranks) for rank in range(ranks)]
    assert {len(share) for share in shares} == {len(alone)}
    for sampler in (alone, *shares):
        sampler.set_epoch(epoch)
    enough = min(len(whole.entries) for whole in alone) >= ranks
    for whole, *parts in zip(alone, *shares, strict=True):
        entries = [part.entries.tolist() for part in parts]
        assert all(entries)
        if enough:
            assert sorted(entry for part in entries for entry in part) == sorted(whole.entries.tolist())
        for part in parts:
            assert part.docs.tolist() == [1000 * entry + epoch for entry in part.entries for _ in range(2)]
            assert part.labels.tolist() == [1.0, 0.0] * len(part.entries)
    everything = [entry for share in shares for part in share for entry in part.entries.tolist()]
    assert sorted(everything) == list(range(n))


def test_the_number_of_batches_stays_when_epochs_differ_in_tokens():
    def draw(epoch):
        return drawn_of(np.full(40, 10 + 5 * epoch), epoch)

    sampler = TrainBatches(draw, tokens_per_batch=100)
    assert len(sampler) == 4
    for epoch in range(3):
        sampler.set_epoch(epoch)
        assert len(list(sampler)) == 4


def test_training_may_begin_at_any_epoch():
    sampler = TrainBatches(lambda epoch: drawn_of(np.full(8, 10), epoch), lists_per_batch=4, epoch=3)
    assert {int(doc) % 1000 for batch in sampler for doc in batch.docs} == {3}


def test_too_few_lists():
    with pytest.raises(DataError, match="each of 4 processes needs a list in every batch, got 3 lists in all"):
        TrainBatches(lambda epoch: drawn_of(np.full(3, 10)), 8, ranks=4)
    with pytest.raises(ConfigError, match=r"must be at least 8 .twice the 4 processes., got 7"):
        TrainBatches(lambda epoch: drawn_of(np.full(30, 10)), 7, ranks=4)
    with pytest.raises(DataError, match="each of 4 processes needs a query, got 3 queries"):
        EvalBatches(drawn_of(np.full(3, 10))[0], np.full(3, 10), np.full(3, 10), 50, 0, 4)


def test_batch_sizes_that_cannot_be():
    with pytest.raises(ConfigError, match=r"either lists_per_batch or tokens_per_batch .*, got 16 and 100"):
        check_batch_size(16, 100)
    with pytest.raises(ConfigError, match=r"either lists_per_batch or tokens_per_batch .*, got None and None"):
        check_batch_size(None, None)
    with pytest.raises(ConfigError, match="batch size: must be at least 1, got 0"):
        check_batch_size(None, 0)


@pytest.mark.parametrize("ranks", [1, 3])
def test_evaluation_lists_come_once_and_sorted_by_length(ranks):
    tokens = np.random.default_rng(0).integers(10, 100, 40)
    lists, _ = drawn_of(tokens)
    seen = []
    for rank in range(ranks):
        sampler = EvalBatches(lists, tokens, tokens / 2, 200, rank, ranks)
        batches = [batch.entries for batch in sampler]
        assert len(sampler) == len(batches)
        mine = np.concatenate(batches)
        assert (np.diff(tokens[mine]) >= 0).all()
        assert all(tokens[batch].sum() <= 200 for batch in batches)
        sampler.set_epoch(3)
        assert np.concatenate([batch.entries for batch in sampler]).tolist() == mine.tolist()
        seen += mine.tolist()
    assert sorted(seen) == list(range(40))


@settings(max_examples=40, deadline=None)
@given(sizes, st.integers(1, 800))
def test_packed_batches_are_full_but_not_overfull(tokens, most):
    batches = packed(np.arange(len(tokens)), tokens, most)
    assert np.concatenate(batches).tolist() == list(range(len(tokens)))
    for batch in batches:
        assert len(batch) == 1 or tokens[batch].sum() <= most
    for first, second in pairwise(batches):
        assert tokens[first].sum() + tokens[second[0]] > most
