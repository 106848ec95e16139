"""``ltr retrieve``: first-stage candidates as a TREC run."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Literal

from ltr.cli.command import at_least, beside_output, check_outputs, run, shell, talk
from ltr.cli.judged import inputs_of
from ltr.errors import ConfigError, DataError
from ltr.machine.loudness import shows_bars

if TYPE_CHECKING:
    from ltr.data.collections.collection import Collection
    from ltr.io.trec import Run
    from ltr.search.written import Written


def retrieve(
    *,
    dataset: str,
    output: str,
    k: int = 100,
    queries: str | None = None,
    k1: float = 1.2,
    b: float = 0.75,
    model: str | None = None,
    index: str | None = None,
    faiss: str | None = None,
    faiss_options: str | None = None,
    max_length: int | None = None,
    device: str = "auto",
    precision: Literal["auto", "32", "bf16"] = "auto",
    allow: list[str] | None = None,
) -> None:
    """Find the best documents of each query and write them as a TREC run: with BM25, or with a retriever (--model).

    BM25: the index is built once and kept in the user's cache (LTR_CACHE, else ~/.cache/ltr). Terms are lower-case runs
    of letters and digits without English stopwords, plurals joined with singulars, and pairs of characters where a
    script writes no spaces (Chinese, Japanese, Thai).
    A bi-encoder: documents are encoded once, kept in the cache or in the folder that ltr encode wrote (--index), and
    searched exactly. With --faiss an approximate index is built instead, and its recall against exact search printed.
    A sparse encoder (SPLADE): the same, through an inverted index of its words' weights; only documents that share a
    weighted word with the query are found.
    What a retriever finds is written 2,048 queries at a time: the same command goes on after an interruption.
    Documents with equal scores stand in trec_eval's order.

    Args:
        dataset: an ir-datasets id, pydocs/train|dev|test, or a folder
        output: the run to write, such as run.bm25.trec; with .gz at the end it is compressed
        k: documents per query
        queries: a file of query_id<TAB>text lines, instead of the data set's own queries
        k1: of BM25: how slowly repeated terms saturate
        b: of BM25: how much long documents are held back, from 0 to 1
        model: folder or hub id of a bi-encoder or a sparse encoder, of ltr or of sentence-transformers
        index: folder with the documents' vectors by this model, written by ltr encode
        faiss: an index factory string of faiss, such as HNSW32 or IVF1024,Flat; needs ltr[faiss]
        faiss_options: search parameters of that index, such as nprobe=32 or efSearch=128
        max_length: tokens of a document that the model reads (default: as it was trained)
        device: of the model: auto, cpu, cuda, cuda:1 ...
        precision: of the model: 32 is exact; bf16 is faster where the hardware has it; auto is bf16 there
        allow: packages, or classes by their import paths, that the model may name as its scorer
    """
    talk()
    check_outputs({"--output": output}, [queries, *inputs_of(dataset)])
    at_least(1, max_length=max_length)
    if model is None:
        given = {"--index": index, "--faiss": faiss, "--faiss-options": faiss_options, "--max-length": max_length}
        for option, value in given.items():
            if value is not None:
                raise ConfigError(f"{option} belongs to a retriever; add --model, or leave it out for BM25")
    if faiss_options is not None and faiss is None:
        raise ConfigError("--faiss-options belong to an approximate index; add --faiss, such as --faiss HNSW32")
    from ltr.data.candidates.sources import retrieve as search
    from ltr.data.collections.collection import load
    from ltr.data.collections.folder import read_queries
    from ltr.io.streams import is_stream

    texts = None
    if queries:
        texts = {q.query_id: q.text for q in read_queries(queries)}
        if not texts:
            raise DataError(f"{queries} holds no query")
    collection = load(dataset)
    said = beside_output(output)
    recall = None
    if model is None:
        written = _write(output, search(collection, texts, k=k, k1=k1, b=b, progress=shows_bars()))
    else:
        at_least(1, k=k)
        asked = collection.queries if texts is None else texts
        written, recall = _by_model(
            output, collection, asked, model, index, k, (faiss, faiss_options), max_length, device, precision, allow
        )
    if not written.documents:
        raise DataError(
            f"none of the {written.queries:,} queries has a word in common with a document of {dataset}; nothing was "
            "written; are queries and documents of one language?"
        )
    without = f"; queries without a word in common with any document: {written.empty}" if written.empty else ""
    print(f"{output}: {written.documents:,} documents for {written.queries:,} queries of {dataset}{without}", file=said)
    if model is not None and k > collection.n_docs:
        every = "each query has all of its" if written.documents == written.queries * collection.n_docs else "it has"
        print(f"-k {k} is beyond the collection: {every} {collection.n_docs:,} documents", file=said)
    if recall is not None:
        print(f"recall@{k} of {faiss} against exact search: {recall:.4f}", file=said)
    if collection.has_qrels and not queries and not is_stream(output):
        print(f"next: {shell('ltr', 'evaluate', '--run', output, '--dataset', dataset)}", file=said)


def _write(output: str, found: Run) -> Written:
    """Write a run, if there is anything in it."""
    from ltr.io.trec import write_run
    from ltr.search.written import Written

    written = Written()
    written.add(found)
    if written.documents:
        write_run(output, found)
    return written


def _by_model(
    output: str,
    collection: Collection,
    queries: dict[str, str],
    model: str,
    index: str | None,
    k: int,
    approximate: tuple[str | None, str | None],
    max_length: int | None,
    device: str,
    precision: str,
    allow: list[str] | None,
) -> tuple[Written, float | None]:
    """Write the run of a retriever; also the recall of an approximate index."""
    from pathlib import Path

    from ltr.data.candidates.selves import selves, without_selves
    from ltr.io.streams import is_stream
    from ltr.search.dense import cached, check_request, opened
    from ltr.search.dense import retrieve as nearest
    from ltr.search.encoding import TextEncoding
    from ltr.search.index import SPARSE, read_facts
    from ltr.search.into_file import retrieve_into

    width = None if index is None else read_facts(Path(index)).width
    encoding = TextEncoding.load(model, device, precision, None, max_length, allow or ())
    if width is not None and width < encoding.dim:  # vectors that were cut (Matryoshka): queries are cut likewise
        encoding.width = width
    check_request(encoding, queries, approximate[0])
    found = cached(encoding, collection, shows_bars()) if index is None else opened(encoding, collection, index)
    name = "sparse" if encoding.similarity == SPARSE else "dense"
    if approximate[0] is None:
        try:
            return retrieve_into(output, encoding, found, collection, queries, k, name, shows_bars()), None
        except KeyboardInterrupt:
            if not is_stream(output):
                print("\nwhat is finished is kept; the same command goes on from here", file=sys.stderr)
            raise
    own = selves(collection, queries)
    run, recall = nearest(encoding, found, queries, k + bool(own), name, *approximate)
    return _write(output, without_selves(run, own, collection, k) if own else run), recall


def main(argv: list[str]) -> None:
    return run(retrieve, argv, prog="ltr retrieve", short={"k": "-k", "output": "-o"})
