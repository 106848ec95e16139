"""Queries of a page: which ones are worth their texts, the documents beside them, and all of it as compact JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from ltr.io.runs import Run
from ltr.report.page.page import Document, Queries

#: queries whose documents a page holds, and how many wins and losses of a pair of systems are looked at
KEPT, EXTREMES = 120, 8
#: letters of a query and of a document that a page shows
QUERY, SNIPPET = 200, 300
#: digits that count of values and scores
DIGITS = 5


def notable(queries: Queries, kept: int = KEPT, each: int = EXTREMES) -> list[str]:
    """The queries whose texts a reader will want: the biggest wins and losses of all pairs of systems.

    The baseline's pairs come first, and every pair's biggest difference before any pair's second.

    Args:
        queries: with values; texts and rankings may come later.
        kept: how many queries at most.
        each: how many wins and losses of a pair at most.

    >>> queries = Queries(["p", "q", "r"], {"mrr": {"a": [1.0, 0.0, 0.5], "b": [0.5, 1.0, 0.5]}})
    >>> notable(queries)
    ['q', 'p']
    """
    first = queries.baseline or next(iter(queries.systems), "")
    others = [system for system in queries.systems if system != first]
    pairs = [(first, other) for other in others] + list(combinations(others, 2))
    ranked = [
        list(extremes(np.asarray(systems[b], np.float64) - np.asarray(systems[a], np.float64), each))
        for stage in (pairs[: len(others)], pairs[len(others) :])
        for systems in queries.values.values()
        for a, b in stage
    ]
    main = len(others) * len(queries.values)
    chosen: dict[int, None] = {}
    for stage in (ranked[:main], ranked[main:]):
        for rank in range(2 * each):
            for places in stage:
                if rank < len(places) and len(chosen) < kept:
                    chosen[places[rank]] = None
    return [queries.query_ids[i] for i in chosen]


def extremes(differences: np.ndarray, count: int) -> Iterator[int]:
    """Places of the largest gains and losses in turn, ``count`` of each at most; none where nothing differs.

    >>> list(extremes(np.array([0.0, 0.5, -0.25, 0.75]), 2))
    [3, 2, 1]
    """
    known = np.where(np.isfinite(differences), differences, 0.0)
    # of equal differences the first ones
    gains, losses = np.argsort(-known, kind="stable"), np.argsort(known, kind="stable")
    for i in range(min(count, len(known))):
        for place, sign in ((gains[i], 1), (losses[i], -1)):
            if sign * known[place] > 0:
                yield int(place)


def rankings(
    query_ids: Sequence[str],
    runs: Mapping[str, Run],
    labels: Mapping[str, Mapping[str, float]] | None = None,
    texts: Callable[[Sequence[str]], Sequence[str]] | None = None,
    depth: int = 5,
) -> dict[str, dict[str, list[Document]]]:
    """The best documents of some queries in several runs, for ``Queries.rankings``.

    Args:
        query_ids: such as those of ``notable``; one that a run lacks has no documents there.
        runs: system -> its run.
        labels: query id -> document id -> label, such as judgements.
        texts: document ids -> their texts, such as ``Collection.texts``.
        depth: documents of each run.
    """
    tops = {
        q: {
            name: [(d, float(s)) for d, s in zip(*(part[:depth] for part in run[q]), strict=True)] if q in run else []
            for name, run in runs.items()
        }
        for q in query_ids
    }
    ids = list(dict.fromkeys(d for systems in tops.values() for docs in systems.values() for d, _ in docs))
    known = dict(zip(ids, texts(ids), strict=True)) if texts and ids else {}
    return {
        q: {
            name: [Document(d, score, (labels or {}).get(q, {}).get(d), known.get(d, "")) for d, score in docs]
            for name, docs in systems.items()
        }
        for q, systems in tops.items()
    }


def content(queries: Queries) -> dict[str, Any]:
    """What the page's script reads: values rounded, documents once each, everything by number."""
    numbers = {system: i for i, system in enumerate(queries.systems)}
    place = {q: i for i, q in enumerate(queries.query_ids)}
    documents: dict[tuple[str, str], int] = {}
    ranked: dict[int, dict[int, list]] = {}
    for q, systems in queries.rankings.items():
        for system, docs in systems.items():
            rows = [
                [
                    documents.setdefault((d.doc_id, clipped(d.text, SNIPPET)), len(documents)),
                    rounded(d.score),
                    rounded(d.label),
                ]
                for d in docs
            ]
            if q in place and system in numbers and rows:
                ranked.setdefault(place[q], {})[numbers[system]] = rows
    return {
        "systems": queries.systems,
        "measures": queries.measures,
        "smaller": [measure in queries.smaller_is_better for measure in queries.measures],
        "baseline": numbers.get(queries.baseline, 0),
        "ids": list(queries.query_ids),
        "texts": [clipped(queries.texts.get(q, ""), QUERY) for q in queries.query_ids],
        "values": [
            [[rounded(float(v)) for v in values] for values in systems.values()] for systems in queries.values.values()
        ],
        "documents": [list(pair) for pair in documents],
        "rankings": ranked,
    }


def embedded(value: Any) -> str:
    """A value as JSON that may stand inside a script element, whatever its texts hold.

    >>> embedded("</script>")
    '"\\\\u003c/script>"'
    """
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def clipped(text: str, length: int) -> str:
    """The beginning of a text in one line, ended at a word.

    >>> clipped("one two  three", 9)
    'one two …'
    """
    text = " ".join(text.split())
    if len(text) <= length:
        return text
    return (text[: length - 1].rsplit(" ", 1)[0] if " " in text[: length - 1] else text[: length - 1]) + " …"


def rounded(value: float | None) -> float | int | None:
    """A number to five digits that count, as short as JSON writes it; None for one that is not finite."""
    if value is None or not math.isfinite(value):
        return None
    short = float(f"{value:.{DIGITS}g}")
    return int(short) if short.is_integer() and abs(short) < 1e9 else short
