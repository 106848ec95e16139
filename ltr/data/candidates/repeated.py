"""Queries that are asked again under another id: what is relevant to one is relevant to all of them."""

from __future__ import annotations

from ltr.data.collections.collection import Collection


def relevant_to_others(collection: Collection) -> dict[str, frozenset[str]]:
    """Query id -> documents that are judged relevant (grade 1 and more) to other queries of the same text.

    Where each relevant document of a question stands with a query of its own (collections of question and answer, triples
    that were unrolled), the others would be its hardest negatives. Texts are the same up to case and blanks.

    Args:
        collection: its queries and judgements; queries that are asked once do not stand in the result.
    """
    groups: dict[str, list[str]] = {}
    for query_id in collection.qrels:
        if query_id in collection.queries:
            groups.setdefault(" ".join(collection.queries[query_id].lower().split()), []).append(query_id)
    found: dict[str, frozenset[str]] = {}
    for text, ids in groups.items():
        if text and len(ids) > 1:
            relevant = {q: {d for d, grade in collection.qrels[q].items() if grade >= 1} for q in ids}
            whole: set[str] = set().union(*relevant.values())
            found |= {q: frozenset(whole - relevant[q]) for q in ids if whole - relevant[q]}
    return found
