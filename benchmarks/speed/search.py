"""How fast exact search is: ltr's, with bfloat16 and with float32 shortlists, beside faiss Flat on the same vectors.

    python benchmarks/speed/search.py [--docs 200000] [--queries 1000] [--quick] [--output results.json]

Random vectors of length 1, one thread, processor seconds, minimum of several turns. All ways must find the same documents;
faiss may differ where scores are equal to float32's last digits. Takes about 2 minutes.
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


def unit(rng: np.random.Generator, n: int, dim: int) -> np.ndarray:
    """[n, dim] float32 vectors of length 1."""
    vectors = rng.normal(size=(n, dim)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


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


def main() -> None:
    """Search in turns, compare the rows, print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--docs", type=int, default=200_000)
    parser.add_argument("--queries", type=int, default=1000)
    parser.add_argument("--dim", type=int, default=384)
    parser.add_argument("--k", type=int, default=100)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="2,000 documents, one turn: no figures to keep")
    parser.add_argument("--output", help="write the JSON there instead")
    args = parser.parse_args()
    if args.quick:
        args.docs, args.queries, args.turns = 2000, 50, 1
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    docs, queries = unit(rng, args.docs, args.dim), unit(rng, args.queries, args.dim)
    ways = {
        f"ltr, {name} shortlist": partial(by_ltr, queries, docs, args.k, name == "bfloat16")
        for name in ("bfloat16", "float32")
    }
    packages = ["torch", "numpy"]
    try:
        import faiss
    except ImportError:
        print("faiss is not installed: its row is left out")
    else:
        faiss.omp_set_num_threads(1)
        index = faiss.IndexFlatIP(args.dim)
        index.add(docs)
        ways["faiss Flat"] = lambda: index.search(queries, args.k)[1]
        packages.append("faiss-cpu")
    best: dict[str, float] = {}
    rows: dict[str, np.ndarray] = {}
    for _ in range(args.turns):
        for name, work in ways.items():
            spent, rows[name] = seconds(work)
            best[name] = min(best.get(name, np.inf), spent)
    exact = rows["ltr, float32 shortlist"]
    if not np.array_equal(rows["ltr, bfloat16 shortlist"], exact):
        raise SystemExit("the two shortlists of ltr gave different documents")
    table = [
        {"way": name, "processor seconds": round(best[name], 3), "same documents": float((rows[name] == exact).mean())}
        for name in ways
    ]
    print(report.table(table))
    result = {
        "what": f"the best {args.k} of {args.docs} documents for {args.queries} queries, {args.dim} numbers, one thread",
        "rows": table,
        "quick": args.quick,
    }
    report.write("search", result, tuple(packages), args.output)


if __name__ == "__main__":
    main()
