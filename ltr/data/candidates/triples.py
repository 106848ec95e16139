"""A file of training triples: query, better document, worse document, as ``ltr mine`` writes it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ltr.data.collections.collection import Collection
from ltr.errors import DataError
from ltr.io.sources import Source
from ltr.io.trec import opened

#: what such a file is called at its end, before that of a packed one
ENDING = ".tsv"
#: a run may be called so, too; its lines have as many fields
RUN_FIELDS = 6


def triples_file(source: str) -> Source | None:
    """The file of triples that a source of candidates names; None where it names something else, such as a run."""
    path = Path(source)
    if not path.is_file():
        return None
    found = Source(path, "training triples")
    if not found.stem.endswith(ENDING):
        return None
    with opened(found) as lines:
        return None if len(next(iter(lines), "").split()) == RUN_FIELDS else found


def read_triples(source: Source, collection: Collection) -> Iterator[tuple[str, str, str]]:
    """The triples of a file whose lines are ``query_id TAB better TAB worse``, in its order.

    Raises:
        DataError: naming file and line, for a line without three ids, or a document that the collection does not have.
    """
    gone = set(collection.missing(dict.fromkeys(doc_id for _, docs in _lines(source) for doc_id in docs[1:])))
    for number, (query_id, better, worse) in _lines(source):
        for doc_id in (better, worse):
            if doc_id in gone:
                raise DataError(
                    f"{source}:{number}: document {doc_id} is not in {collection.name} ({len(gone)} such documents); the "
                    "triples must speak of this collection's documents"
                )
        yield query_id, better, worse


def _lines(source: Source) -> Iterator[tuple[int, tuple[str, str, str]]]:
    """(number of the line, its three ids)."""
    with opened(source) as lines:
        for number, line in enumerate(lines, 1):
            parts = line.rstrip("\r\n").split("\t")
            if len(parts) != 3 or not all(part and part == part.strip() for part in parts):
                raise DataError(
                    f"{source}:{number}: a triple is query_id TAB better document TAB worse document, got {line.rstrip()!r:.80}"
                )
            yield number, (parts[0], parts[1], parts[2])
