"""Tells a line that names columns from the first record of a table without such a line."""

from __future__ import annotations

from collections.abc import Sequence

from ltr.errors import DataError

#: what tools call the columns of documents and queries, without ``_`` and ``-``
IDS = {
    "id",
    "docid",
    "docno",
    "did",
    "pid",
    "passageid",
    "documentid",
    "corpusid",
    "qid",
    "queryid",
    "topicid",
    "topic",
}
TEXTS = {"text", "title", "content", "contents", "body", "passage", "document", "doc", "abstract", "url"}
TEXTS |= {"query", "question", "topic", "querytext", "passagetext", "doctext", "documenttext"}


def refuse_header(fields: Sequence[str], where: str, what: str) -> None:
    """Refuse a first line that begins with the name of an id and names a text: as a record it would be measured and trained on.

    It is not left out without a word either: a collection may have a document of that id and text. On any other line
    nobody takes it for a header.

    Args:
        fields: of the first line that is not blank.
        where: file and line.
        what: what the file is of, ``documents`` or ``queries``.

    Raises:
        DataError: they are names of columns.

    >>> refuse_header(["d1", "text"], "docs.tsv:1", "documents")
    """
    first, *others = (field.strip().strip("\"'").lower().replace("_", "").replace("-", "") for field in fields)
    if first in IDS and any(other in TEXTS for other in others):
        raise DataError(
            f"{where}: the line {' '.join(fields)!r} names columns, and a file of {what} has no such line; remove it (if it "
            "is a record all the same, let it stand on another line)"
        )
