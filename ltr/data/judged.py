"""Judgements that stand beside labels of another kind, such as a teacher's scores."""

from __future__ import annotations

from collections.abc import Sequence

from ltr.errors import DataError
from ltr.io.sources import Source
from ltr.io.trec import Qrels, read_qrels


def judgements_beside(source: Source, query_ids: Sequence[str], whose: str, advice: str) -> Qrels:
    """The judgements of some lists; lists that are not judged are left out.

    Args:
        source: a TREC file of judgements.
        query_ids: the lists.
        whose: what has them, for the error.
        advice: what the file's queries must be, likewise.

    Raises:
        DataError: none of the lists is judged.
    """
    known = read_qrels(source)
    own = {query_id: known[query_id] for query_id in query_ids if query_id in known}
    if not own:
        raise DataError(
            f"{source}: judges none of the {len(query_ids)} lists of {whose} ({', '.join(query_ids[:3])} …), but "
            f"{', '.join(list(known)[:3])} …; {advice}"
        )
    return own
