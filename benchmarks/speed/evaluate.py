"""How long reading and measuring a big TREC run takes, and how much memory, beside ranx, pytrec_eval and ir_measures.

    python benchmarks/speed/evaluate.py [--queries 7000] [--docs 1000] [--quick] [--output results.json]

Writes a synthetic run (documents with rounded scores, so with ties) and judgements into a temporary folder; every way to
measure them runs in a new process. "Cold" is the first run with empty caches of compiled code, as after an installation;
"warm" is the fastest of several later ones. Seconds are those of the clock from the start of the process to its end; on a
busy machine the processor's tell more. ir_measures runs where ``benchmarks/speed/common/rivals.py`` has installed it.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from common.report import table, write
from common.rivals import python_of

CHILD = Path(__file__).parent / "common" / "evaluate_child.py"
#: way of evaluate_child.py -> its row
TITLES = {
    "ltr": "ltr: read and measure",
    "ltr_table": "ltr evaluate: table with intervals",
    "ranx": "ranx (its rbp multiplies by the grade)",
    "pytrec_eval": "pytrec_eval (no rbp)",
    "ir_measures": "ir_measures (no rbp)",
}


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


def measured(way: str, paths: tuple[Path, Path], cache: Path | None, python: Path | str) -> dict[str, Any]:
    """What one process says of itself, and its seconds; ``cache`` is a folder for compiled code other than the user's."""
    environment = dict(os.environ)
    if cache:
        environment |= {"NUMBA_CACHE_DIR": str(cache), "LTR_CACHE": str(cache)}
    start = time.perf_counter()
    command = [str(python), str(CHILD), way, *map(str, paths)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - start
    if done.returncode:
        raise SystemExit(f"evaluate: {way} failed:\n{done.stderr}")
    return {"seconds": seconds, **json.loads(done.stdout.splitlines()[-1])}


def rows_of(paths: tuple[Path, Path], repeats: int, quick: bool) -> list[dict[str, Any]]:
    """A row for each way, cold (for those that compile) and warm."""
    rows = []
    pythons: dict[str, Path | str | None] = dict.fromkeys(TITLES, sys.executable)
    pythons["ir_measures"] = python_of("current")
    if quick:
        del pythons["ranx"]  # it compiles for most of a minute
    for way, python in pythons.items():
        if python is None:
            print(f"{way} is left out: python benchmarks/speed/common/rivals.py installs it", file=sys.stderr)
            continue
        print(f"{TITLES[way]} …", file=sys.stderr)
        with tempfile.TemporaryDirectory() as cache:
            if way in ("ltr", "ltr_table", "ranx"):
                rows.append({"way": TITLES[way], "caches": "cold", **measured(way, paths, Path(cache), python)})
            several = [measured(way, paths, None, python) for _ in range(repeats)]
        rows.append({"way": TITLES[way], "caches": "warm", **min(several, key=lambda row: row["seconds"])})
    return rows


def shown(rows: list[dict[str, Any]]) -> str:
    """The table: seconds, gigabytes, ratios to ltr's warm row, and how far means are from ltr's where they mean the same."""
    base = next(row for row in rows if row["caches"] == "warm")
    lines = []
    for row in rows:
        whole = row["way"] == TITLES["ltr_table"]
        same = [name for name in row["means"] if name in base["means"]]
        if row["way"] == TITLES["ranx"]:
            same = [name for name in same if not name.startswith("rbp")]
        shared = [abs(row["means"][name] - base["means"][name]) for name in same]
        lines.append(
            {
                "way": row["way"],
                "caches": row["caches"],
                "import s": round(row["import"], 2),
                "read s": None if whole else round(row["read"], 2),
                "measure s": None if whole else round(row["measure"], 2),
                "total s": round(row["seconds"], 2),
                "processor s": round(row["processor"], 2),
                "peak GB": round(row["peak"], 2),
                "x ltr": round(row["seconds"] / base["seconds"], 2),
                "off by": float(f"{max(shared):.1g}"),
            }
        )
    return table(lines)


def main() -> None:
    """Write the data, measure each way, print the table and keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--queries", type=int, default=7000)
    parser.add_argument("--docs", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=3, help="warm runs, of which the fastest counts")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="50 queries x 100 documents, without ranx: seconds")
    parser.add_argument("--output", help="write the JSON there instead")
    args = parser.parse_args()
    if args.quick:
        args.queries, args.docs, args.repeats = 50, 100, 1
    with tempfile.TemporaryDirectory() as folder:
        paths = write_data(Path(folder), args.queries, args.docs, args.seed)
        size = paths[0].stat().st_size / 1e6
        rows = rows_of(paths, args.repeats, args.quick)
    print(shown(rows))
    versions = {name: v for row in rows for name, v in row.pop("version").items()}
    what = f"read and measure {args.queries} queries x {args.docs} documents ({size:.0f} MB of TREC text)"
    result = {"what": what, "rows": rows, "seed": args.seed, "versions": versions}
    write("evaluate", result, ("numpy", "numba"), args.output)


if __name__ == "__main__":
    main()
