"""The scoring loop gives every list its scores, in the caller's order, whatever is computed together."""

import sys
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from torch import nn

from ltr.batch import Lists, TextLists, TokenRows
from ltr.errors import ConfigError, DataError
from ltr.inference import scoring
from ltr.inference.scoring import Scored, device_of, grouped, prepared, score, score_run
from ltr.scorers.base import Scorer
from ltr.scorers.text.cross_encoder import CrossEncoder
from tests.scorers.text.test_cross_encoder import random_batch
from tests.tiny_model import save_tiny


@dataclass
class FeatureLists(Lists):
    """Another kind of batch: one number per document."""

    features: torch.Tensor = field(default_factory=lambda: torch.zeros(0, 1))


class FirstToken(Scorer):
    """Scores a document by its first token id, so that every score can be known beforehand."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))
        self.batch_tokens, self.calls, self.fits = 1000, 0, 10**9

    def forward(self, batch, tokens=None):
        self.calls += 1
        assert not self.training
        if (tokens or self.batch_tokens) > self.fits:
            raise torch.OutOfMemoryError("too much")
        return batch.scores(batch.tokens.ids[batch.tokens.offsets[:-1]].float() * self.weight)

    def fewer_tokens(self, tokens=None):
        half = (tokens or self.batch_tokens) // 2
        return half if half > 10 else None


def batches(sizes=((2, 3), (1,), (0, 4)), seed=0):
    made = []
    for i, own in enumerate(sizes):
        batch = random_batch(own, longest=9, seed=seed + i)
        batch.query_ids = [f"q{i}.{j}" for j in range(len(own))]
        batch.doc_ids = [f"d{i}.{j}" for j in range(sum(own))]
        made.append(batch)
    return made


def first_tokens(batch: TextLists) -> list[list[float]]:
    flat = batch.tokens.ids[batch.tokens.offsets[:-1]].float()
    return [flat[a:b].tolist() for a, b in zip(batch.list_offsets, batch.list_offsets[1:], strict=False)]


@pytest.mark.parametrize("window", [1, 30, 10**6])
def test_scores_come_back_in_the_callers_order(window):
    given = batches()
    got = list(score(FirstToken(), given, device="cpu", precision="32", window=window))
    assert [one.query_id for one in got] == [q for batch in given for q in batch.query_ids]
    assert [one.doc_ids for one in got] == [
        batch.doc_ids[a:b] for batch in given for a, b in zip(batch.list_offsets, batch.list_offsets[1:], strict=False)
    ]
    assert [one.scores.tolist() for one in got] == [scores for batch in given for scores in first_tokens(batch)]
    assert all(one.scores.dtype == np.float32 for one in got)


def test_cross_encoder_in_windows_scores_as_batch_by_batch(tiny_model):
    torch.manual_seed(1)
    scorer = CrossEncoder(str(tiny_model))
    given = batches()
    windowed = np.concatenate([one.scores for one in score(scorer, given, "cpu", "32")])
    with torch.inference_mode():
        alone = np.concatenate([scorer.eval()(batch)[batch.mask].numpy() for batch in given])
    np.testing.assert_allclose(windowed, alone, atol=1e-5)


def test_neighbouring_batches_share_a_window():
    scorer = FirstToken()
    list(score(scorer, batches(), device="cpu", precision="32"))
    assert scorer.calls == 1


def test_batches_are_taken_as_scores_are_asked_for():
    taken = []

    def endless():
        for i in range(10**9):
            taken.append(i)
            yield batches(((1,),))[0]

    assert isinstance(next(iter(score(FirstToken(), endless(), "cpu", "32", window=1))), Scored)
    assert len(taken) == 1


def test_the_run_is_sorted():
    batch = batches(((3,),))[0]
    run = score_run(FirstToken(), [batch], name="tokens", device="cpu", precision="32")
    docs, scores = run["q0.0"]
    assert run.name == "tokens"
    assert scores.tolist() == sorted(first_tokens(batch)[0], reverse=True)
    assert dict(zip(docs, scores, strict=True)) == dict(zip(batch.doc_ids, first_tokens(batch)[0], strict=True))


def test_training_mode_comes_back_even_when_scoring_stops_early():
    scorer = FirstToken().train()
    found = score(scorer, batches(), "cpu", "32")
    next(found)
    assert not scorer.training
    found.close()
    assert scorer.training


def test_threads_that_score_with_one_scorer_leave_each_other_in_evaluation_mode():
    scorer = FirstToken().train()
    scorer.frozen = nn.Dropout().eval()
    one, other = (score(scorer, batches(), "cpu", "32", window=1) for _ in range(2))
    next(one)
    next(other)
    one.close()
    assert not scorer.training, "the other still scores; its forward pass would notice too"
    assert len(list(other)) == 4
    assert scorer.training
    assert not scorer.frozen.training, "each part is as it was"


def test_a_score_that_is_not_finite_fails_its_own_list():
    given = batches()
    bad = [int(given[i].tokens.ids[given[i].tokens.offsets[at]]) for i, at in ((0, 3), (2, 0))]

    class Damaged(FirstToken):
        def forward(self, batch, tokens=None):
            found = super().forward(batch, tokens)
            return found.masked_fill(torch.isin(found, torch.tensor(bad, dtype=found.dtype)), torch.nan)

    usual = {one.query_id: one.scores.tolist() for one in score(FirstToken(), given, "cpu", "32")}
    wanted = [(query, scores) for query, scores in usual.items() if not set(scores) & set(bad)]
    got = []
    found = score(Damaged(), given, "cpu", "32")
    with pytest.raises(
        DataError, match=r"query q0\.1, document d0\.3: the model's score is nan; .* \(1 more of 5 queries"
    ):
        got.extend((one.query_id, one.scores.tolist()) for one in found)
    assert got == wanted
    assert [query for query, _ in got] == ["q0.0", "q1.0", "q2.0"]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_score_that_is_not_finite(value):
    scorer = FirstToken()
    scorer.weight.data.fill_(value)
    with pytest.raises(DataError, match=r"query q0\.0, document d0\.0: the model's score is (nan|inf); it was damaged"):
        list(score(scorer, batches(), "cpu", "32"))


def test_a_batch_without_ids():
    batch = batches()[0]
    batch.query_ids = []
    with pytest.raises(DataError, match="needs ids of its 2 lists and 5 documents, got 0 and 5"):
        list(score(FirstToken(), [batch], "cpu", "32"))


def test_out_of_memory_is_met_with_smaller_pieces_and_nothing_is_lost(caplog):
    scorer = FirstToken()
    scorer.fits = 300
    given = batches()
    got = [one.scores.tolist() for one in score(scorer, given, "cpu", "32")]
    assert got == [scores for batch in given for scores in first_tokens(batch)]
    assert [r.getMessage() for r in caplog.records] == [
        f"out of memory: scoring goes on with {tokens} tokens at once" for tokens in (500, 250)
    ]
    assert scorer.batch_tokens == 1000, "who else scores with it has as much at once as before"
    scorer.calls = 0
    list(score(scorer, given, "cpu", "32", window=1))
    assert scorer.calls == 2 + len(given), "windows behind one that did not fit begin with what fits"
    scorer.fits = 1
    with pytest.raises(torch.OutOfMemoryError):
        list(score(scorer, given, "cpu", "32"))


def test_joined_keeps_lists_and_drops_labels():
    features = [
        FeatureLists(torch.tensor([0, 2]), torch.ones(2), None, ["a"], ["x", "y"], torch.tensor([[1.0], [2.0]])),
        FeatureLists(torch.tensor([0, 0, 1]), torch.ones(1), None, ["b", "c"], ["z"], torch.tensor([[3.0]])),
    ]
    whole = Lists.cat(features)
    assert whole.list_offsets.tolist() == [0, 2, 2, 3]
    assert whole.features.tolist() == [[1.0], [2.0], [3.0]]
    assert (whole.query_ids, whole.doc_ids, whole.labels) == (["a", "b", "c"], ["x", "y", "z"], None)


def passages(pooling: str, counts: list[int], sizes: list[int], name: str) -> TextLists:
    """Documents of one-token passages, so that scores are the token ids."""
    offsets = [torch.tensor([0, *own]).cumsum(0) for own in (counts, sizes)]
    tokens = torch.arange(1, sum(counts) + 1)
    return TextLists(
        offsets[1],
        query_ids=[f"{name}{i}" for i in range(len(sizes))],
        doc_ids=list("abcdefg")[: len(counts)],
        tokens=TokenRows(tokens, torch.zeros_like(tokens), torch.arange(len(tokens) + 1)),
        row_offsets=offsets[0],
        pooling=pooling,
    )


@pytest.mark.parametrize("window", [1, 100])
@pytest.mark.parametrize(("pooling", "expected"), [("max", [2.0, 3.0, 7.0]), ("mean", [1.5, 3.0, 5.5])])
def test_passages_give_one_score_per_document(window, pooling, expected):
    given = [passages(pooling, [2, 1, 4], [2, 0, 1], name) for name in "qr"]
    scorer = FirstToken()
    got = list(score(scorer, given, "cpu", "32", window=window))
    assert scorer.calls == (2 if window == 1 else 1), "passages are joined as documents are"
    assert [one.query_id for one in got] == ["q0", "q1", "q2", "r0", "r1", "r2"]
    assert [one.scores.tolist() for one in got] == 2 * [expected[:2], [], expected[2:]]
    assert [one.doc_ids for one in got] == 2 * [["a", "b"], [], ["c"]]


def test_passages_that_run_out_of_memory_are_scored_in_smaller_pieces():
    scorer = FirstToken()
    scorer.fits = 300
    got = list(score(scorer, [passages("mean", [2, 1, 4], [3], "q")], "cpu", "32"))
    assert (got[0].scores.tolist(), scorer.calls) == ([1.5, 3.0, 5.5], 3)


def test_windows_of_batches_without_tokens_count_documents():
    given = [Lists(torch.tensor([0, n]), query_ids=["q"], doc_ids=["d"] * n) for n in (3, 3, 3)]
    assert [Lists.cat(window).n_docs for window in grouped(given, 5)] == [6, 3]
    assert list(grouped([], 5)) == []


def test_precision_bf16_scores_nearly_the_same_and_leaves_the_scorer(tiny_model):
    torch.manual_seed(1)
    scorer = CrossEncoder(str(tiny_model))
    full, lower = (next(iter(score(scorer, batches(((40,),)), "cpu", p))).scores for p in ("32", "bf16"))
    assert 0 < np.abs(full - lower).max() < 0.1 * np.ptp(full)
    assert {p.dtype for p in scorer.parameters()} == {torch.float32}


def test_auto_precision_follows_the_hardware(tiny_model, monkeypatch):
    scorer = CrossEncoder(str(tiny_model))
    for native, name in ((True, "bfloat16"), (False, "float32")):
        monkeypatch.setattr("ltr.scorers.base.multiplies_bf16", lambda device, native=native: native)
        assert prepared(scorer, "cpu").computes_in == name


def test_architectures_that_cannot_be_fused_are_lowered(tmp_path):
    scorer = CrossEncoder(str(save_tiny(tmp_path / "mpnet", "mpnet")))
    lower = prepared(scorer, "cpu", "bf16")
    assert lower.model.mpnet.encoder.layer[0].output.dense.weight.dtype == torch.bfloat16
    assert scorer.model.mpnet.encoder.layer[0].output.dense.weight.dtype == torch.float32
    assert prepared(scorer, "cpu", "32") is scorer


def test_a_scorer_is_taken_as_it_is_without_a_precision(tiny_model):
    scorer = CrossEncoder(str(tiny_model))
    assert prepared(scorer, "cpu", None) is scorer


def test_nothing_is_copied_where_nothing_changes():
    scorer = FirstToken()
    assert prepared(scorer, "cpu", "32") is scorer
    assert prepared(scorer, "cpu", "bf16") is scorer, "a scorer that cannot be lowered stays as it is"
    moved = prepared(scorer, "meta", "32")
    assert moved.weight.device.type == "meta"
    assert scorer.weight.device.type == "cpu"


@pytest.mark.parametrize("name", ["cuda:99", "tpu", "what"])
def test_unknown_or_absent_devices(name):
    with pytest.raises(ConfigError, match=f"device: '{name}' is not available here .*; use auto or cpu"):
        device_of(name)


def test_unknown_precision():
    with pytest.raises(ConfigError, match="precision must be auto, 32 or bf16, got '16'"):
        prepared(FirstToken(), "cpu", "16")


def test_a_progress_bar_counts_queries(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    list(score(FirstToken(), batches(), "cpu", "32", progress="dev", total=5))
    assert "dev: 100%" in (err := capsys.readouterr().err)
    assert "5/5" in err


def test_where_no_terminal_draws_a_bar_lines_come_now_and_then(capsys, monkeypatch, caplog):
    with caplog.at_level("INFO", "ltr"):
        list(score(FirstToken(), batches(), "cpu", "32", progress="dev", total=5))
        assert not caplog.messages, "such as were done within 20 seconds"
        monkeypatch.setattr(scoring._ProgressLines, "every", 0.0)
        list(score(FirstToken(), batches(), "cpu", "32", progress="dev", total=5, window=1))
    assert caplog.messages[-1] == "dev: 5 of 5 queries scored"
    assert "%|" not in capsys.readouterr().err


def test_a_scorer_that_is_fused_already_keeps_its_precision(tiny_model):
    made = prepared(CrossEncoder(str(tiny_model)), "cpu", "bf16")
    for same in (None, "auto", "bf16"):
        assert prepared(made, "auto", same) is made
    with pytest.raises(ConfigError, match="the scorer was made in bf16 and cannot become 32; make it anew"):
        prepared(made, "cpu", "32")
