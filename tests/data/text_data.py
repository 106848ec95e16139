"""A small collection served by TextData, and what its batches hold; import the fixtures in a conftest."""

import json
from pathlib import Path

import numpy as np
import pytest

from ltr.data.lists.sampling import Sampling
from ltr.data.text.text_data import TextData
from tests.data.tokenizers import WORDS, saved_tokenizer

N_DOCS, N_TRAIN, N_DEV = 60, 12, 6
FIRST = {f"t{i}": [f"d{(5 * i + j) % N_DOCS}" for j in range(10)] for i in range(N_TRAIN)}
FIRST |= {f"v{i}": [f"d{(7 * i + j) % N_DOCS}" for j in range(8)] for i in range(N_DEV - 1)}  # none for the last


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A plain folder of documents of very different lengths; the third candidate of each query is relevant."""
    path = tmp_path_factory.mktemp("collection")
    words = WORDS.split()
    texts = {f"d{i}": " ".join(words[j % len(words)] for j in range(i, i + 1 + 3 * (i % 13))) for i in range(N_DOCS)}
    (path / "docs.jsonl").write_text("".join(json.dumps({"doc_id": d, "text": t}) + "\n" for d, t in texts.items()))
    queries = [f"t{i}" for i in range(N_TRAIN)] + [f"v{i}" for i in range(N_DEV)]
    (path / "queries.tsv").write_text(
        "".join(f"{q}\t{' '.join(words[i : i + 2 + i % 4])}\n" for i, q in enumerate(queries))
    )
    for split, letter in (("train", "t"), ("dev", "v")):
        lines = [f"{q} 0 {docs[2]} 2\n{q} 0 {docs[0]} -1\n" for q, docs in FIRST.items() if q[0] == letter]
        (path / f"qrels.{split}.trec").write_text("".join(lines) + ("v5 0 d1 1\n" if letter == "v" else ""))
    ranked = [(q, d, r) for q, docs in FIRST.items() for r, d in enumerate(docs, 1)]
    (path / "run.first.trec").write_text("".join(f"{q} Q0 {d} {r} {100 - r} first\n" for q, d, r in ranked))
    return path


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory) -> str:
    return saved_tokenizer(tmp_path_factory.mktemp("model"))


@pytest.fixture
def data(folder, tokenizer):
    """Makes TextData of the folder, ready to load."""

    def make(stage=None, **options):
        defaults = {
            "train": f"{folder}/train",
            "dev": f"{folder}/dev",
            "train_candidates": "first",
            "dev_candidates": "first",
            "tokenizer": tokenizer,
            "max_length": 40,
            "max_query_length": 12,
            "sampling": Sampling(docs_per_list=4),
            "lists_per_batch": 4,
        }
        made = TextData(**(defaults | options))
        made.prepare_data()
        made.setup(stage)
        return made

    return make


@pytest.fixture
def teacher(tmp_path):
    """Settings of training with a teacher."""
    run = tmp_path / "teacher.trec"
    run.write_text("".join(f"t{i} Q0 d{j} 1 {j - i / 4} big\n" for i in range(3) for j in range(6)))
    return {"dev": None, "train_candidates": None, "teacher": str(run)}


def documents(batch):
    """(query id, document id, label, token ids, segment ids) of each document of a batch."""
    owners = np.repeat(batch.query_ids, batch.list_offsets.diff().numpy())
    cuts = batch.tokens.offsets[1:-1].tolist()
    return list(
        zip(
            owners.tolist(),
            batch.doc_ids,
            batch.labels.tolist(),
            [part.tolist() for part in batch.tokens.ids.tensor_split(cuts)],
            [part.tolist() for part in batch.tokens.marks.tensor_split(cuts)],
            strict=True,
        )
    )


def lists_of(loader):
    """{query: {document: label}}, every query once."""
    found: dict[str, dict[str, float]] = {}
    for batch in loader:
        for query_id, doc_id, label, *_ in documents(batch):
            found.setdefault(query_id, {})[doc_id] = label
    return found


class At:
    """What a loader asks a trainer."""

    def __init__(self, epoch, rank=0, ranks=1):
        self.current_epoch, self.global_rank, self.world_size = epoch, rank, ranks
