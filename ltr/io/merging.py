"""Runs put together from runs."""

from __future__ import annotations

from ltr.io.trec import Run


def renamed(run: Run, name: str) -> Run:
    """The same run under another name."""
    return Run(run.query_ids, run.offsets, run.doc_bytes, run.scores, name)


def below(reranked: Run, first: Run) -> Run:
    """A reranked run with the first stage's other documents below, in the first stage's order.

    A reranker looks at the best documents of a first stage only; measures deeper than that need the rest too. Queries
    that were not reranked keep the first stage's list.

    >>> first = Run.from_dict({"q": {"a": 3.0, "b": 2.0, "c": 1.0}})
    >>> below(Run.from_dict({"q": {"b": 0.5, "a": 0.25}}), first)["q"][0].tolist()
    ['b', 'a', 'c']
    """
    merged = reranked.to_dict()
    for query_id in first:
        docs = merged.setdefault(query_id, {})
        floor = min(docs.values(), default=0.0)
        # trec_eval compares scores as float32: steps must be more than its spacing there
        step = max(1.0, abs(floor) * 2**-21)
        rest = [doc_id for doc_id in first[query_id][0].tolist() if doc_id not in docs]
        docs.update({doc_id: floor - rank * step for rank, doc_id in enumerate(rest, 1)})
    return Run.from_dict(merged, reranked.name)
