"""Pools and candidates kept on disk: what lists are made of is worked out once, then mapped into memory."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from ltr import __version__
from ltr.data.collections.ids import Ids
from ltr.data.lists.pools import said
from ltr.data.lists.ragged import Ragged
from ltr.data.lists.sampling import Pool
from ltr.io.caching.cached import cached
from ltr.io.caching.keys import key_of_facts
from ltr.io.runs import Run

T = TypeVar("T")

#: part of every key: a change of what is kept gives new folders
FORMAT = 4


def kept_pool(facts: list[Any], limits: dict[str, Any], build: Callable[[], Pool]) -> Pool:
    """The pool that ``build`` gives, kept in the user's cache: a second start reads no queries, judgements or candidates.

    Args:
        facts: everything that the pool depends on, as plain values, apart from the limits.
        limits: the pool's ``most``, ``most_first`` and ``random`` where they are not as by default.
        build: makes the pool; what it says (``Pool.notes``) is said again whenever the kept one is taken.
    """
    pool, fresh = _kept("pools", facts, build, _write, lambda folder: _read(folder, limits))
    if not fresh:
        said(pool.notes)
    return pool


def kept_run(facts: list[Any], build: Callable[[], Run]) -> Run:
    """The candidates that ``build`` gives, kept likewise: 7 million lines of a run take seconds to read and to check.

    Args:
        facts: everything that the candidates depend on, as plain values.
        build: makes them.
    """
    return _kept("candidates", facts, build, _write_run, _read_run)[0]


def _kept(
    kind: str,
    facts: list[Any],
    build: Callable[[], T],
    write: Callable[[Path, T], None],
    read: Callable[[Path], T],
) -> tuple[T, bool]:
    """What is kept, and whether it was built now, because it was not there yet or damaged."""
    key = key_of_facts([FORMAT, __version__, *facts], 20)
    fresh: list[T] = []

    def written(folder: Path) -> None:
        fresh.append(build())
        write(folder, fresh[0])

    place = cached(kind, key, written, lambda folder: fresh[0] if fresh else read(folder))
    return place, bool(fresh)


def _write_run(folder: Path, run: Run) -> None:
    arrays = {"query_ids": Ids.of(run.query_ids).raw, "offsets": run.offsets, "doc_ids": run.doc_bytes}
    for name, values in {**arrays, "scores": run.scores}.items():
        np.save(folder / f"{name}.npy", values)
    (folder / "run.json").write_text(json.dumps({"name": run.name}), encoding="utf-8")


def _read_run(folder: Path) -> Run:
    about = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    query_ids, offsets, docs, scores = (
        np.load(folder / f"{name}.npy") for name in ("query_ids", "offsets", "doc_ids", "scores")
    )
    return Run(list(Ids(query_ids)), offsets, docs, scores, about["name"])


def _write(folder: Path, pool: Pool) -> None:
    arrays: dict[str, Any] = {
        "query_ids": Ids.of(pool.query_ids).raw,
        "doc_ids": Ids.of(pool.doc_ids).raw,
        "keys": pool.keys,
        "first_labels": pool.first_labels,
        "rest_labels": pool.rest_labels,
        "random_docs": pool.random_docs,
    }
    for name in ("first", "rest", "relevant"):
        arrays[name], arrays[f"{name}_offsets"] = getattr(pool, name)
    for name, values in arrays.items():
        np.save(folder / f"{name}.npy", values)
    (folder / "pool.json").write_text(json.dumps({"notes": pool.notes}), encoding="utf-8")


def _read(folder: Path, limits: dict[str, Any]) -> Pool:
    def array(name: str) -> np.ndarray:
        return np.load(folder / f"{name}.npy", mmap_mode="r").view(np.ndarray)

    def ragged(name: str) -> Ragged:
        return Ragged(array(name), array(f"{name}_offsets"))

    return Pool(
        Ids(array("query_ids")),
        Ids(array("doc_ids")),
        first=ragged("first"),
        first_labels=array("first_labels"),
        rest=ragged("rest"),
        rest_labels=array("rest_labels"),
        relevant=ragged("relevant"),
        random_docs=array("random_docs"),
        notes=json.loads((folder / "pool.json").read_text(encoding="utf-8"))["notes"],
        keys=array("keys"),
        **limits,
    )
