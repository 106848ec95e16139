"""``ltr retrieve``: first-stage candidates as a TREC run."""

from __future__ import annotations

import sys

from ltr.cli.command import beside_output, check_outputs, run, talk
from ltr.cli.judged import inputs_of
from ltr.errors import DataError


def retrieve(
    *,
    dataset: str,
    output: str,
    k: int = 100,
    queries: str | None = None,
    k1: float = 1.2,
    b: float = 0.75,
) -> None:
    """Find the best documents of each query with BM25 and write them as a TREC run.

    The index is built once and kept in the user's cache (LTR_CACHE, else ~/.cache/ltr). Terms are lower-case runs
    of letters and digits without English stopwords, plurals joined with singulars, and pairs of characters where a
    script writes no spaces (Chinese, Japanese, Thai); documents with equal scores stand in trec_eval's order.

    Args:
        dataset: an ir-datasets id, pydocs/train|dev|test, or a folder
        output: the run to write, such as run.bm25.trec; with .gz at the end it is compressed
        k: documents per query
        queries: a file of query_id<TAB>text lines, instead of the data set's own queries
        k1: how slowly repeated terms saturate
        b: how much long documents are held back, from 0 to 1
    """
    talk()
    check_outputs({"--output": output}, [queries, *inputs_of(dataset)])
    from ltr.data.candidates.sources import retrieve as search
    from ltr.data.collections.collection import load
    from ltr.data.collections.folder import read_queries
    from ltr.io.files import is_stream
    from ltr.io.trec import write_run

    texts = None
    if queries:
        texts = {q.query_id: q.text for q in read_queries(queries)}
    collection = load(dataset)
    run = search(collection, texts, k=k, k1=k1, b=b, progress=sys.stderr.isatty())
    if not len(run.scores):
        raise DataError(
            f"none of the {len(run):,} queries has a word in common with a document of {dataset}; nothing was written; "
            "are queries and documents of one language?"
        )
    write_run(output, run)
    empty = sum(len(run[q][0]) == 0 for q in run)
    without = f"; queries without a word in common with any document: {empty}" if empty else ""
    said = beside_output(output)
    print(f"{output}: {len(run.scores):,} documents for {len(run):,} queries of {dataset}{without}", file=said)
    if collection.has_qrels and not queries and not is_stream(output):
        print(f"next: ltr evaluate --run {output} --dataset {dataset}", file=said)


def main(argv: list[str]) -> None:
    return run(retrieve, argv, prog="ltr retrieve", short={"k": "-k", "output": "-o"})
