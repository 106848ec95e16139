"""How long reading and measuring a big TREC run takes, and how much memory.

    python benchmarks/speed/evaluate.py [--queries 7000] [--docs 1000] [--output results.json]

Writes a synthetic run (documents with rounded scores, so with ties) and judgements into a temporary folder and measures
them in a new process with compiled measures, as `ltr evaluate` would. Prints seconds and peak memory as JSON; on a busy
machine the processor's seconds tell more than those of the clock.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

import numpy as np

MEASURES = ["ndcg@10", "mrr@10", "map", "recall@1000", "rbp.95"]
#: what the new process does; the clock includes imports
CHILD = """
import json, resource, sys, time
start = time.perf_counter()
from ltr.io.trec import read_qrels, read_run
run, qrels = read_run(sys.argv[1]), read_qrels(sys.argv[2])
read = time.perf_counter()
from ltr.metrics.engine import _ranx, evaluate
_ranx()
imported = time.perf_counter()
means = evaluate(run, qrels, sys.argv[3:]).means
end = time.perf_counter()
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps({
    "read_seconds": read - start, "import_ranx_seconds": imported - read, "measure_seconds": end - imported,
    "total_seconds": end - start, "processor_seconds": time.process_time(), "peak_gigabytes": peak * (1 if sys.platform == "darwin" else 1024) / 1e9,
    "means": means,
}))
"""


def write_data(folder: Path, n_queries: int, n_docs: int, seed: int) -> tuple[Path, Path]:
    """A run and ten judgements per query, half of them on documents that the run holds."""
    rng = np.random.default_rng(seed)
    run, qrels = folder / "run.trec", folder / "qrels.trec"
    with open(run, "w") as ranked, open(qrels, "w") as judged:
        for query in range(1_000_000, 1_000_000 + n_queries):
            docs = rng.permutation(np.unique(rng.integers(0, 8_841_823, n_docs + n_docs // 50 + 10)))[:n_docs].tolist()
            scores = np.sort(rng.gamma(2.0, 5.0, n_docs))[::-1].round(4).tolist()
            ranked.writelines(
                f"{query} Q0 {d} {rank} {s} bm25\n" for rank, (d, s) in enumerate(zip(docs, scores, strict=True), 1)
            )
            known = {*rng.choice(docs, min(5, n_docs), replace=False).tolist(), *rng.integers(0, 8_841_823, 5).tolist()}
            judged.writelines(f"{query} 0 {d} {rng.integers(0, 4)}\n" for d in known)
    return run, qrels


def main() -> None:
    """Write the data, measure twice (the first time may compile), print the second."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--queries", type=int, default=7000)
    parser.add_argument("--docs", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", help="write the JSON there as well")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        paths = write_data(Path(folder), args.queries, args.docs, args.seed)
        command = [sys.executable, "-c", CHILD, *map(str, paths), *MEASURES]
        subprocess.run(command, check=True, capture_output=True)
        figures = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        size = paths[0].stat().st_size / 1e6
    result = {
        "what": f"read and measure {args.queries} queries x {args.docs} documents ({size:.0f} MB of TREC text), warm",
        **figures,
        "seed": args.seed,
        "command": "python benchmarks/speed/evaluate.py " + " ".join(sys.argv[1:]),
        "versions": {"python": platform.python_version(), **{p: version(p) for p in ("numpy", "ranx", "numba")}},
        "machine": f"{platform.system()} {platform.machine()}",
    }
    text = json.dumps(result, indent=2)
    print(text)
    if args.output:
        Path(args.output).write_text(text + "\n")


if __name__ == "__main__":
    main()
