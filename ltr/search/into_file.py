"""A run of nearest documents, written block by block while it is found."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import islice

from ltr.data.candidates.selves import selves, tell_of_selves, unjudged_selves, without
from ltr.data.collections.collection import Collection
from ltr.errors import DataError
from ltr.inference.partial import Partial, claimed
from ltr.io.caching.keys import key_of_facts, key_of_parts
from ltr.io.runs import Run
from ltr.io.streams import is_stream
from ltr.io.trec import plain_or_compressed, run_lines
from ltr.search.dense import retrieve
from ltr.search.encoding import TextEncoding
from ltr.search.index import Index
from ltr.search.written import Written

log = logging.getLogger(__name__)

#: queries that are looked for together and then written: a pass over all documents
QUERIES = 2048


def retrieve_into(
    output: str | os.PathLike,
    encoding: TextEncoding,
    index: Index,
    collection: Collection,
    queries: Mapping[str, str],
    k: int = 100,
    name: str = "dense",
    progress: bool = False,
    block: int = QUERIES,
) -> Written:
    """Write the ``k`` nearest documents of each query as a TREC run; called again after an interruption, it goes on.

    Args:
        output: the file to write; with .gz at the end it is compressed. Where nothing was found for any query, none is written.
        encoding, index: see ``ltr.search.dense.retrieve``.
        collection: the documents that the index was made of. One that is its own query is left out.
        queries: query id -> text.
        k: documents per query.
        name: the last field of each line.
        progress: show a progress bar.
        block: queries that are looked for together and then written.

    Raises:
        ConfigError, DataError: as ``retrieve``; an unfinished file beside ``output`` that was begun with other inputs, or that
            another process is writing.
    """
    own = selves(collection, queries)
    drop = unjudged_selves(own, collection)
    tell_of_selves(drop, len(queries), collection)

    def found(ids: Sequence[str]) -> Run:
        run, _ = retrieve(encoding, index, {q: queries[q] for q in ids}, k + bool(own), name)
        return without(run, drop, k)

    blocks = list(_chunks(queries, block))
    written = Written()
    if is_stream(output):  # nothing can stand beside it: lines go out as they are ready
        with plain_or_compressed(output) as file:
            for ids in _shown(blocks, progress):
                run = found(ids)
                file.writelines(run_lines(run, name))
                file.flush()
                written.add(run)
        return written
    signature = {
        "model": encoding.signature,
        "index": key_of_facts(asdict(index.facts)),
        "query texts": key_of_parts(*(part for query in queries.items() for part in query)),
        "options": f"{k} {name} {encoding.width} {encoding.precision} {block} {key_of_parts(*sorted(drop))}",
    }
    with claimed(output, "retrieve"):
        partial = Partial(output, signature, "retrieve")
        done = int(partial.held.get("blocks", 0))
        if done:
            written = Written(**partial.held["written"])
            log.info("going on with %s: %d of %d queries are done", partial.path, written.queries, len(queries))
        size = int(partial.held.get("bytes", 0))
        if partial.path.stat().st_size < size:
            raise DataError(
                f"retrieve: {partial.path} is shorter than {partial.manifest.name} says ({size:,} bytes); delete it to begin anew"
            )
        os.truncate(partial.path, size)  # what an interruption left of a block
        try:
            for number, ids in enumerate(_shown(blocks[done:], progress), done + 1):
                run = found(ids)
                partial.write(run_lines(run, name))
                written.add(run)
                partial.note(blocks=number, bytes=partial.path.stat().st_size, written=asdict(written))
        except BaseException:
            if not written.queries:  # who mends what was wrong need not delete an empty file first
                partial.drop()
            raise
        if written.documents:
            partial.finish()
        else:
            partial.drop()
    return written


def _chunks(queries: Mapping[str, str], size: int) -> Iterator[list[str]]:
    ids = iter(queries)
    while chunk := list(islice(ids, size)):
        yield chunk


def _shown(blocks: Sequence[Sequence[str]], progress: bool) -> Iterator[Sequence[str]]:
    """The blocks, with a bar over their queries."""
    from tqdm import tqdm

    with tqdm(desc="searching", total=sum(map(len, blocks)), unit=" queries", disable=not progress) as bar:
        for ids in blocks:
            yield ids
            bar.update(len(ids))
