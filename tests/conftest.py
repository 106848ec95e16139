"""Fixtures that several parts share."""

from __future__ import annotations

import gc
import json
import os
import sys
from pathlib import Path

import pytest

from ltr.io.caching.cache_folder import cache_folder
from tests.browser import browser  # noqa: F401

DOCS = {
    "d1": ("Cats", "The cat sat on the mat and slept."),
    "d2": ("Dogs", "Dogs bark at cats in the night."),
    "d3": ("", "A sparse matrix holds mostly zeros."),
    "d4": ("Matrix product", "Multiply two matrices, row by column."),
    "d5": ("Paths", "Join two paths with a slash."),
    "d6": ("Files", "Open a file, read its lines, close the file."),
    "d7": ("Sorting", "Sort a list in ascending order."),
    "d8": ("Random", "Draw random numbers with a seed."),
}
QUERIES = {
    "q1": "where did the cat sleep",
    "q2": "multiply matrices",
    "q3": "join paths",
    "q4": "read the lines of a file",
}
QRELS = {"q1": {"d1": 2, "d2": 1}, "q2": {"d4": 1, "d3": 0}, "q3": {"d5": 1}, "q4": {"d6": 1}}
RUN = {"q1": ["d2", "d1", "d6"], "q2": ["d3", "d4"], "q3": ["d5", "d6", "d8"], "q4": ["d7", "d6", "d1"]}


#: how many modules there were when the garbage collector was last told what stays
_SETTLED = [0]


def settle():
    """The garbage collector passes over the tests and packages, which stay to the end: it would look through millions of objects."""
    gc.collect()
    gc.freeze()
    _SETTLED[0] = len(sys.modules)


def pytest_collection_finish():
    settle()


def pytest_runtest_logfinish():
    # a test has imported a large package, such as Lightning: half a million objects
    if len(sys.modules) - _SETTLED[0] > 300:
        settle()


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory):
    """A user cache of this test session alone."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        # compiled measures may come from the user's cache: making them anew takes half a minute
        patch.setenv("NUMBA_CACHE_DIR", os.environ.get("NUMBA_CACHE_DIR") or str(cache_folder("numba")))
        patch.setenv("LTR_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real collections."""
    folder = Path(__file__).parents[1].parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"the real collections are not here: {folder}")
    return folder


def write_tiny(folder: Path) -> Path:
    """A plain folder of eight documents and four queries, two of them in each split."""
    folder.mkdir(parents=True, exist_ok=True)
    records = [{"doc_id": d, "title": title, "text": text} for d, (title, text) in DOCS.items()]
    (folder / "docs.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    (folder / "queries.tsv").write_text("".join(f"{q}\t{text}\n" for q, text in QUERIES.items()))
    for suffix, members in {"": list(QRELS), ".train": ["q1", "q2"], ".dev": ["q3", "q4"]}.items():
        lines = [f"{q} 0 {d} {grade}\n" for q in members for d, grade in QRELS[q].items()]
        (folder / f"qrels{suffix}.trec").write_text("".join(lines))
    ranked = [(q, d, rank) for q, docs in RUN.items() for rank, d in enumerate(docs, 1)]
    (folder / "run.first.trec").write_text("".join(f"{q} Q0 {d} {r} {10 - r} first\n" for q, d, r in ranked))
    return folder


@pytest.fixture
def tiny_folder(tmp_path) -> Path:
    """A plain folder of this test's own, to be changed at will."""
    return write_tiny(tmp_path / "tiny")
