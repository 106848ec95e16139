"""Writing any collection as a plain folder."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

from tqdm import tqdm

from ltr.data.collections.collection import Collection
from ltr.data.readable import readable
from ltr.errors import DataError
from ltr.io.files import replacing
from ltr.io.trec import write_qrels, write_run


def export(collection: Collection, folder: str | os.PathLike, progress: bool = False) -> Path:
    """Write documents, queries, judgements and first-stage scores of a collection as a plain folder.

    Args:
        collection: what to write.
        folder: where; it must not hold a collection yet.
        progress: whether to show a bar.

    Raises:
        DataError: when the folder holds documents already.
    """
    folder = Path(folder)
    if folder.is_dir() and any(folder.glob("docs.*")):
        raise DataError(f"export: {folder} holds a collection already; name a new folder")
    total = collection.n_docs if progress else None
    with replacing(folder / "docs.jsonl") as file:
        for doc_id, title, text in tqdm(_documents(collection), "documents", total, unit="doc", disable=not progress):
            record = {"doc_id": doc_id, **({"title": title} if title else {}), "text": text}
            file.write(json.dumps(record, ensure_ascii=False) + "\n")
    if collection.dataset.has_queries():
        with replacing(folder / "queries.tsv") as file:
            file.writelines(f"{q}\t{' '.join(text.split())}\n" for q, text in collection.queries.items())
    if collection.has_qrels:
        write_qrels(folder / "qrels.trec", collection.qrels)
    if collection.has_scoreddocs:
        write_run(folder / "run.scoreddocs.trec", collection.scoreddocs())
    return folder


def _documents(collection: Collection) -> Iterator[tuple[str, str, str]]:
    """(id, title, text): a title of its own where the data set has one and shows it first, everything else as text."""
    for doc in collection.documents():
        whole, title = readable(doc.default_text()), readable(getattr(doc, "title", ""))
        if title and whole.startswith(title):
            yield doc.doc_id, title, whole[len(title) :].strip()
        else:
            yield doc.doc_id, "", whole
