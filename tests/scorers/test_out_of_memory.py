"""Memory that runs out while a cross-encoder trains: its batch is split and computed again, with the same result."""

import logging

import pytest
import torch

from ltr.scorers import out_of_memory
from ltr.scorers.text.cross_encoder import CrossEncoder
from tests.scorers.text.test_cross_encoder import random_batch
from tests.scorers.text.test_first_token import assert_same_gradients, gradients

CPU = (
    "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate 9"
)


@pytest.mark.parametrize(
    ("error", "is_memory"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), True),
        (RuntimeError(CPU), True),
        (MemoryError("std::bad_alloc"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError(CPU), False),
    ],
)
def test_errors_that_mean_no_memory(error, is_memory):
    assert out_of_memory.is_out_of_memory(error) is is_memory


class Small:
    """A machine that fails whenever more than ``tokens`` are computed at once, or more than ``kept`` stay for a gradient."""

    def __init__(self, scorer, error, tokens=10**9, kept=10**9):
        self.tokens, self.kept, self.error, self.scorer = tokens, kept, error, scorer
        self.computed, self.attempts, self.usual, self.whole = 0, 0, scorer._scores_of, scorer._computed
        scorer._scores_of, scorer._computed = self.scores_of, self.attempt

    def attempt(self, batch, tokens):
        self.computed, self.attempts = 0, self.attempts + 1
        return self.whole(batch, tokens)

    def scores_of(self, batch, docs):
        tokens = int(batch.lengths[docs].sum())
        self.computed += 0 if self.scorer.checkpointing else tokens
        if tokens > self.tokens or self.computed > self.kept:
            raise self.error
        return self.usual(batch, docs)


@pytest.fixture
def scorer(tiny_model) -> CrossEncoder:
    torch.manual_seed(3)
    return CrossEncoder(str(tiny_model), dropout=0.0, head_dropout=0.0, batch_tokens=1000)


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError(CPU)])
def test_a_batch_that_does_not_fit_is_split_and_not_lost(scorer, error, caplog):
    batch = random_batch([9, 12], seed=1)
    expected = scorer(batch)
    wanted = gradients(scorer, expected)
    machine = Small(scorer, error, tokens=500)
    with caplog.at_level(logging.WARNING):
        scores = scorer(batch)
    torch.testing.assert_close(scores, expected)
    assert_same_gradients(gradients(scorer, scores), wanted)
    assert scorer.batch_tokens == 500
    assert machine.attempts == 2
    assert [r.getMessage() for r in caplog.records] == ["out of memory: training goes on with 500 tokens at once"]
    scorer(batch)
    assert machine.attempts == 3, "what did not fit once is not tried again"


def test_a_batch_whose_activations_do_not_fit_is_checkpointed(scorer, caplog):
    batch = random_batch([9, 12], seed=1)
    expected = scorer(batch)
    wanted = gradients(scorer, expected)
    Small(scorer, torch.OutOfMemoryError("no"), tokens=200, kept=batch.tokens.ids.numel() - 1)
    with caplog.at_level(logging.WARNING):
        scores = scorer(batch)
    assert_same_gradients(gradients(scorer, scores), wanted)
    assert scorer.checkpointing
    assert [r.getMessage() for r in caplog.records] == [
        "out of memory: training goes on with 500 tokens at once",
        "out of memory: training goes on with checkpointing, about a third slower",
        "out of memory: training goes on with 250 tokens at once",
        "out of memory: training goes on with 125 tokens at once",
    ]


def test_errors_that_nothing_helps_against_come_through(scorer):
    batch = random_batch([3])
    Small(scorer, torch.OutOfMemoryError("far too much"), tokens=1)
    with pytest.raises(torch.OutOfMemoryError, match="far too much"):
        scorer(batch)
    assert scorer.checkpointing
    assert scorer.batch_tokens < 128
    machine = Small(scorer, RuntimeError("something else"), tokens=1)
    with pytest.raises(RuntimeError, match="something else"):
        scorer(batch)
    assert machine.attempts == 1


def test_scoring_leaves_the_retry_to_its_loop(scorer):
    machine = Small(scorer, torch.OutOfMemoryError("no"), tokens=1)
    with torch.inference_mode(), pytest.raises(torch.OutOfMemoryError, match="no"):
        scorer(random_batch([3]))
    assert machine.attempts == 1
    assert scorer.batch_tokens == 1000


def test_the_smallest_micro_batches_are_checkpointed_at_once(scorer):
    scorer.batch_tokens = 64
    assert scorer.spare()
    assert scorer.checkpointing
    assert not scorer.spare(1)
