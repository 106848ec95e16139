"""How fast exact search is: ltr's, with bfloat16 and with float32 shortlists, beside faiss Flat on the same vectors.

    python benchmarks/speed/search.py [--docs 200000] [--queries 1000] [--sparse] [--quick] [--output results.json]

Random vectors of length 1, one thread, processor seconds, minimum of several turns. All ways must find the same documents;
faiss may differ where scores are equal to float32's last digits. Takes about 2 minutes.

With ``--sparse`` vectors like those of SPLADE: 120 words a document and 30 a query of 30,522, frequent ones more often;
ltr's search by words beside one product of scipy, with all scores in memory.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial
from unittest import mock

import numpy as np
import torch
from common import report
from scipy.sparse import csr_array


def unit(rng: np.random.Generator, n: int, dim: int) -> np.ndarray:
    """[n, dim] float32 vectors of length 1."""
    vectors = rng.normal(size=(n, dim)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def weights(rng: np.random.Generator, n: int, words: int, vocabulary: int = 30_522) -> csr_array:
    """[n, vocabulary] weights above 0 of up to so many words each; word i is drawn about i^-0.7 times as often as the first."""
    share = 1 / np.arange(1, vocabulary + 1) ** 0.7
    drawn = np.sort(rng.choice(vocabulary, (n, words), p=share / share.sum()), axis=1).ravel()
    found = csr_array((rng.uniform(0.01, 2, drawn.size), drawn, np.arange(0, drawn.size + 1, words)), (n, vocabulary))
    found.sum_duplicates()
    return found.astype(np.float32)


def seconds(work: Callable[[], np.ndarray]) -> tuple[float, np.ndarray]:
    """Processor seconds, and the rows."""
    start = time.process_time()
    rows = work()
    return time.process_time() - start, rows


def by_ltr(queries: np.ndarray, docs: np.ndarray, k: int, half: bool) -> np.ndarray:
    """ltr's rows, with a shortlist by bfloat16 or by float32."""
    from ltr.search import exact

    with mock.patch.object(exact, "multiplies_bf16", return_value=half):
        return exact.search(queries, [docs], k).rows


def by_words(queries: csr_array, docs: csr_array, k: int) -> np.ndarray:
    """ltr's rows through an inverted index."""
    from ltr.search import inverted

    return inverted.search(queries, [inverted.Shard.of(docs)], k).rows


def by_product(queries: csr_array, docs: csr_array, k: int) -> np.ndarray:
    """The same by one product and a sort of its best."""
    scores = (queries.astype(np.float64) @ docs.T.tocsr().astype(np.float64)).toarray().astype(np.float32)
    best = np.argpartition(-scores, k, axis=1)[:, :k]
    found = np.take_along_axis(scores, best, 1)
    return np.take_along_axis(best, np.lexsort((best, -found), axis=1), 1)


def dense_ways(rng: np.random.Generator, args: argparse.Namespace) -> tuple[dict[str, Callable], list[str]]:
    """(name -> search, packages) of vectors."""
    docs, queries = unit(rng, args.docs, args.dim), unit(rng, args.queries, args.dim)
    ways: dict[str, Callable] = {
        f"ltr, {name} shortlist": partial(by_ltr, queries, docs, args.k, name == "bfloat16")
        for name in ("float32", "bfloat16")
    }
    try:
        import faiss
    except ImportError:
        print("faiss is not installed: its row is left out")
        return ways, ["torch", "numpy"]
    faiss.omp_set_num_threads(1)
    index = faiss.IndexFlatIP(args.dim)
    index.add(docs)
    return {**ways, "faiss Flat": lambda: index.search(queries, args.k)[1]}, ["torch", "numpy", "faiss-cpu"]


def sparse_ways(rng: np.random.Generator, args: argparse.Namespace) -> tuple[dict[str, Callable], list[str]]:
    """(name -> search, packages) of sparse vectors."""
    given = weights(rng, args.queries, 30), weights(rng, args.docs, 120), args.k
    return {"ltr, inverted index": partial(by_words, *given), "scipy, one product": partial(by_product, *given)}, [
        "scipy", "numpy",
    ]  # fmt: skip


def main() -> None:
    """Search in turns, compare the rows, print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--docs", type=int, default=200_000)
    parser.add_argument("--queries", type=int, default=1000)
    parser.add_argument("--dim", type=int, default=384)
    parser.add_argument("--k", type=int, default=100)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--sparse", action="store_true", help="weights of words instead of vectors")
    parser.add_argument("--quick", action="store_true", help="2,000 documents, one turn: no figures to keep")
    parser.add_argument("--output", help="write the JSON there instead")
    args = parser.parse_args()
    if args.quick:
        args.docs, args.queries, args.turns = 2000, 50, 1
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    ways, packages = (sparse_ways if args.sparse else dense_ways)(rng, args)
    best: dict[str, float] = {}
    rows: dict[str, np.ndarray] = {}
    for _ in range(args.turns):
        for name, work in ways.items():
            spent, rows[name] = seconds(work)
            best[name] = min(best.get(name, np.inf), spent)
    exact = rows[next(iter(ways))]
    unlike = [name for name in ways if name.startswith("ltr") and not np.array_equal(rows[name], exact)]
    if unlike:
        raise SystemExit(f"{next(iter(ways))} and {unlike[0]} gave different documents")
    table = [
        {"way": name, "processor seconds": round(best[name], 3), "same documents": float((rows[name] == exact).mean())}
        for name in ways
    ]
    print(report.table(table))
    result = {
        "what": f"the best {args.k} of {args.docs} documents for {args.queries} queries, one thread, "
        + ("weights of words" if args.sparse else f"{args.dim} numbers"),
        "rows": table,
        "quick": args.quick,
    }
    report.write("search-sparse" if args.sparse else "search", result, tuple(packages), args.output)


if __name__ == "__main__":
    main()
