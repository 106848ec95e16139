"""Dev and test documents read in passages: every token reaches the batches, training is as it was."""

import json
import pickle
from itertools import pairwise

import numpy as np
import pytest

from ltr.batch import TextLists
from ltr.data.tokens.passages import Reading
from ltr.errors import ConfigError
from tests.data.text_data import FIRST, documents
from tests.data.tokenizers import WORDS

LONG = {"max_length": 24, "max_query_length": 8, "tokens_per_batch": None}


def passages(batch: TextLists) -> list[list[list[int]]]:
    """The token ids of the passages of each document."""
    cut = [part.tolist() for part in batch.tokens.ids.tensor_split(batch.tokens.offsets[1:-1].tolist())]
    ends = batch.row_offsets.tolist()
    return [cut[start:stop] for start, stop in pairwise(ends)]


def test_dev_documents_are_read_whole_and_training_reads_beginnings(data):
    plain, made = data(**LONG), data(**LONG, reading=Reading("max"))
    whole = data(max_length=400, max_query_length=8)
    assert all(batch.row_offsets is None for batch in made.train_dataloader())
    for ours, theirs in zip(made.train_dataloader(), plain.train_dataloader(), strict=True):
        assert ours.tokens.ids.tolist() == theirs.tokens.ids.tolist()
    beginnings, texts = ({d[:2]: d for b in one.val_dataloader() for d in documents(b)} for one in (plain, whole))
    several, seen = 0, 0
    for batch in made.val_dataloader():
        assert batch.pooling == "max"
        owners = np.repeat(batch.query_ids, batch.list_offsets.diff())
        for query, doc, label, own in zip(owners, batch.doc_ids, batch.labels.tolist(), passages(batch), strict=True):
            _, _, expected_label, first, _ = beginnings[query, doc]
            assert (label, own[0]) == (expected_label, first)
            text = texts[query, doc][3]
            assert sorted({*own[0], *(t for passage in own for t in passage)}) == sorted(set(text))
            assert all(len(passage) <= 24 for passage in own)
            assert sum(map(len, own)) >= len(text)
            several += len(own) > 1
            seen += 1
    assert seen == sum(len(docs) for query, docs in FIRST.items() if query[0] == "v")
    assert several > 5


@pytest.mark.parametrize("reading", [Reading("max"), Reading("mean", stride=5), Reading("max", max_passages=2)])
def test_what_is_told_and_planned_is_what_is_computed(data, reading):
    made = data(**LONG, reading=reading, eval_tokens_per_batch=600)
    batches = list(made.val_dataloader())
    assert len(batches) > 2
    assert all(batch.tokens.ids.numel() <= 600 or len(batch) == 1 for batch in batches)
    facts, plain = made.counts["dev"], data(**LONG).counts["dev"]
    tokens, docs = sum(b.tokens.ids.numel() for b in batches), sum(b.n_docs for b in batches)
    assert tokens / docs <= facts["tokens_per_doc"] < 1.05 * tokens / docs
    assert facts["tokens_per_doc"] > plain["tokens_per_doc"]
    assert (0 < facts["truncated"] < plain["truncated"]) if reading.max_passages else facts["truncated"] == 0
    assert facts["lists"] == plain["lists"]


def test_workers_get_the_same(data):
    made = data(**LONG, reading=Reading("mean"))
    encoder, (lists, *_) = made._encoder("dev"), list(made.val_dataloader().sampler)
    again = pickle.loads(pickle.dumps(encoder))[lists]
    assert again.tokens.ids.tolist() == encoder[lists].tokens.ids.tolist()
    assert again.pooling == "mean"


def test_documents_longer_than_what_others_store(folder, data):
    """Token caches keep 512 tokens of a document, unless more are read."""
    path = folder / "docs.jsonl"
    before = path.read_text()
    try:
        records = [json.loads(line) for line in before.splitlines()]
        records[0]["text"] = " ".join([WORDS] * 40)
        path.write_text("".join(json.dumps(one) + "\n" for one in records))
        counts = []
        for reading in (Reading("max"), Reading("max", max_passages=50)):
            batches = data(**LONG, reading=reading).val_dataloader()
            counts.append(
                [len(own) for b in batches for d, own in zip(b.doc_ids, passages(b), strict=True) if d == "d0"]
            )
        assert min(counts[0]) > 60
        assert set(counts[1]) == {50}
    finally:
        path.write_text(before)


def test_the_signature_tells_ways_of_reading_apart(data):
    found = [data(**LONG, reading=reading).signature for reading in (Reading(), Reading("max"), Reading("max", 5))]
    assert len(set(found)) == 3
    assert data(**LONG).signature == found[0]


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"passages": "all"}, "Reading: passages must be first, max or mean, got 'all'"),
        ({"passages": "max", "stride": 0}, "Reading: stride must be at least 1, got 0"),
        (
            {"max_passages": 2},
            "Reading: max_passages is for documents that are read in passages, and passages is first",
        ),
    ],
)
def test_settings_that_cannot_work(settings, sentence):
    with pytest.raises(ConfigError, match=sentence):
        Reading(**settings)


def test_a_stride_that_leaves_tokens_out_is_told_before_anything_is_tokenised(data):
    with pytest.raises(ConfigError, match="stride must be at least 1 and at most 13, the tokens of a passage beside"):
        data(**LONG, reading=Reading("max", stride=14))
