"""Vectors of a collection as large as MS MARCO, by lines from smaller ones: how long to encode and search, how much disk and memory.

    python benchmarks/speed/vectors.py                        # 1,000,000 made passages; takes about 15 minutes
    python benchmarks/speed/vectors.py --passages 64000       # a sixteenth, a quarter and all of so many

Everything but the network: a network of one small layer encodes all passages, which shows what reading, tokenising, writing
and the digest of the documents take, and whether memory grows. The network: MiniLM encodes ``--encoded`` of them in float32 and
where the processor has it in bfloat16. Search: exact, the best 100 for 100 queries over as many random vectors of 384 numbers in
float32, read from disk. One thread; seconds are the processor's, of a process for each row.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from common import report
from common.children import environment
from common.growth import MSMARCO, Memory, extrapolated, lines_of
from common.synthetic import make, vocabulary
from loading import MINILM, megabytes, tiny_model

DIM, BEST, QUERIES = 384, 100, 100
#: random vectors that are written at once
BLOCK = 50_000


def encode(task: dict[str, Any]) -> dict[str, Any]:
    """``ltr encode`` in this process."""
    import torch

    from ltr.cli.main import main as ltr

    torch.set_num_threads(1)
    memory, used = Memory(), time.process_time()
    command = ["encode", "--model", task["model"], "--dataset", task["folder"], "--output", task["output"]]
    if ltr([*command, "--precision", task["precision"], "--max-length", "256"]):
        raise SystemExit("vectors: ltr encode failed")
    return {"cpu_s": time.process_time() - used, **memory.peaks()}


def search(task: dict[str, Any]) -> dict[str, Any]:
    """Exact search over vectors on disk."""
    import torch

    from ltr.search import exact

    torch.set_num_threads(1)
    queries = unit(np.random.default_rng(1), QUERIES)
    memory, used = Memory(), time.process_time()
    exact.search(queries, [np.load(task["file"], mmap_mode="r")], BEST)
    return {"search_cpu_s": time.process_time() - used, **{f"search_{k}": v for k, v in memory.peaks().items()}}


def child(part: str, **task: Any) -> dict[str, Any]:
    """A part in a process of its own."""
    command = [sys.executable, __file__, "--child", json.dumps({"part": part, **task})]
    done = subprocess.run(command, env=environment(1), capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"vectors: {part} failed:\n{done.stderr[-4000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def unit(rng: np.random.Generator, n: int) -> np.ndarray:
    """[n, 384] float32 vectors of length 1."""
    vectors = rng.standard_normal((n, DIM), dtype=np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def written(file: Path, n: int) -> str:
    """A file of so many random vectors."""
    rng = np.random.default_rng(0)
    rows = np.lib.format.open_memmap(file, mode="w+", dtype=np.float32, shape=(n, DIM))
    for first in range(0, n, BLOCK):
        rows[first : first + BLOCK] = unit(rng, min(BLOCK, n - first))
    rows.flush()
    return str(file)


def measured(work: Path, passages: int, words: np.ndarray, tiny: str) -> dict[str, Any]:
    """All but the network, and search, at one size."""
    folder, vectors = work / f"collection-{passages}", work / f"vectors-{passages}"
    make(folder, passages, 10, words)
    row: dict[str, Any] = {"passages": passages}
    row |= child("encode", folder=str(folder), model=tiny, output=str(vectors), precision="32")
    # of the documents' numbers as MiniLM's are; ids and the manifest as they are here
    row["disk_mb"] = megabytes(vectors) + passages * (DIM - 32) * 4 / 1e6
    row |= child("search", file=written(work / "search.npy", passages))
    (work / "search.npy").unlink()
    return row


def network(work: Path, passages: int, words: np.ndarray, model: str) -> list[dict[str, Any]]:
    """Processor time of the model itself, in each precision."""
    import torch

    from ltr.scorers.hardware import multiplies_bf16

    folder = work / "collection-encoded"
    make(folder, passages, 10, words)
    rows = []
    for precision in ("32", "bf16") if multiplies_bf16(torch.device("cpu")) else ("32",):
        found = child("encode", folder=str(folder), model=model, output=str(work / precision), precision=precision)
        rate = passages / found["cpu_s"]
        row = {"model": model, "precision": precision, "passages": passages, "passages a CPU second": rate}
        rows.append(
            row | {f"hours for {MSMARCO:,} on a core": MSMARCO / rate / 3600, "peak own MB": found["peak_own_mb"]}
        )
    return rows


def main() -> None:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--passages", type=int, default=1_000_000)
    parser.add_argument("--encoded", type=int, default=8000, help="passages that the real model encodes")
    parser.add_argument("--model", default=MINILM, help="the real model")
    parser.add_argument("--quick", action="store_true", help="few passages, to see that it runs")
    parser.add_argument("--output", help="write the JSON there instead")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        task = json.loads(args.child)
        print(json.dumps({"encode": encode, "search": search}[task.pop("part")](task)))
        return
    if args.quick:
        args.passages, args.encoded = 1600, 100
    with tempfile.TemporaryDirectory() as name:
        work, words = Path(name), vocabulary(args.model, args.passages, 0)
        tiny = tiny_model(args.model, work / "tiny", head=False)
        rows = [measured(work, args.passages // part, words, tiny) for part in (16, 4, 1)]
        models = network(work, args.encoded, words, args.model)
    whole, off = extrapolated(rows, MSMARCO)
    print(report.table(lines_of(rows, whole, off)), report.table(models), sep="\n\n")
    result = {"sizes": rows, "extrapolated": whole, "off_the_line_percent": off, "network": models, "quick": args.quick}
    report.write("vectors", result, ("torch", "tokenizers", "transformers", "numpy"), args.output)


if __name__ == "__main__":
    main()
