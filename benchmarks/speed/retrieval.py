"""Training and encoding of retrievers: losses on a whole batch, cached gradients, encoding, beside sentence-transformers.

    python benchmarks/speed/retrieval.py [--parts losses cached encode train] [--pairs 32 256] [--threads 1] [--steps 5] [--quick]

All ways of a part take turns in one process (``common/retrieval_child.py``), on the same texts and model, so that other work on the
machine meets them alike; with one thread processor time counts. Memory is what a process with one way alone gained at its largest.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from common import report
from common.children import environment, why
from common.model import BASE
from common.retrieval_child import LOSSES

HERE = Path(__file__).parent
#: ways of each part; the first is what others are compared with
LOSS_WAYS = ["torch cross-entropy", *LOSSES, "identity + softplus, dense"]
TRAIN_WAYS = ["sentence-transformers fp32", "sentence-transformers bf16", "ltr fp32", "ltr bf16"]
#: part, way -> (most of the time, most of the memory) of the way that it is compared with; None for no goal
GOALS: dict[tuple[str, str], tuple[float | None, float | None]] = {
    **{("losses", way): (1.4, 0.6) for way in LOSSES},
    ("losses", "InfoNCE"): (1.1, 0.6),
    ("losses", "identity"): (1.1, 0.6),
    ("train cached", "ltr fp32 cached"): (1.35, 0.5),
    ("encode", "ltr fp32"): (1 / 1.8, None),
    ("encode", "ltr bf16"): (1 / 1.4, None),
    ("train", "ltr fp32"): (1 / 2, 0.5),
    ("train", "ltr bf16"): (1 / 1.5, None),
}
#: pairs of a batch in training
BATCHES = (32, 256)
CACHED_WAYS = ["ltr fp32", "ltr fp32 cached", "sentence-transformers fp32", "sentence-transformers fp32 cached"]


def cases(parts: list[str], quick: bool, batches: Sequence[int] = BATCHES) -> list[list[dict[str, Any]]]:
    """What is measured, in groups of ways that are compared with each other."""
    sizes = {"queries": 8, "docs": 16, "dim": 8} if quick else {"queries": 1024, "docs": 4096, "dim": 384}
    pairs, chunk = (4, 2) if quick else (128, 16)
    texts = {"queries": 2, "docs": 4} if quick else {"queries": 16, "docs": 32}
    groups = {
        "losses": [[{"part": "losses", "way": way, "base": LOSS_WAYS[0], **sizes} for way in LOSS_WAYS]],
        "cached": [
            [{"part": "train", "way": way, "base": ways[0], "queries": pairs, "chunk": chunk} for way in ways]
            for ways in (CACHED_WAYS[:2], CACHED_WAYS[2:])
        ],
        "encode": [[{"part": "encode", "way": way, "base": theirs(way), **texts} for way in TRAIN_WAYS]],
        "train": [
            [{"part": "train", "way": way, "base": theirs(way), "queries": n} for way in TRAIN_WAYS]
            for n in ([4] if quick else batches)
        ],
    }
    return [group for part in parts for group in groups[part]]


def theirs(way: str) -> str:
    """What a way of training or encoding is compared with: theirs in the same precision.

    >>> theirs("ltr bf16")
    'sentence-transformers bf16'
    """
    return f"sentence-transformers {way.split()[-1]}"


def child(task: Any, given: argparse.Namespace) -> dict[str, Any]:
    """What a child found, or ``{"failed": why}``."""
    paths = environment(given.threads)
    paths["PYTHONPATH"] = os.pathsep.join([str(HERE), paths["PYTHONPATH"]])
    command = [sys.executable, str(HERE / "common" / "retrieval_child.py"), json.dumps(task)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=paths, timeout=given.limit)
    except subprocess.TimeoutExpired:
        return {"failed": f"no end within {given.limit:g} s"}
    if done.returncode:
        return {"failed": why(done)}
    return json.loads(done.stdout.splitlines()[-1])


def measured(group: list[dict[str, Any]], given: argparse.Namespace) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """The ways of a group, measured: times in one process in turns, memory in a process for each; and versions."""
    tasks = [{**case, "model": given.model, "threads": given.threads, "steps": given.steps} for case in group]
    together = child(tasks, given)
    ways = together.get("ways", [{"failed": together.get("failed")}] * len(group))
    found = [{**case, **way, **child(task, given)} for case, way, task in zip(group, ways, tasks, strict=True)]
    return found, together.get("versions", {})


def rows(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A line for each case, with time and memory as multiples of the way that it is compared with."""

    def base(case: dict[str, Any]) -> dict[str, Any]:
        same = [c for c in found if all(c.get(k) == case.get(k) for k in ("part", "queries", "chunk", "docs"))]
        return next((c for c in same if c["way"] == case["base"]), {})

    def times(case: dict[str, Any], key: str) -> float | None:
        own, other = case.get(key), base(case).get(key)
        return None if own is None or not other else round(own / other, 2)

    def goal(part: str, way: str) -> str:
        most = zip(("", " MB"), GOALS.get((part, way), (None, None)), strict=True)
        return ", ".join(f"<= {value:.2f}{unit}" for unit, value in most if value is not None)

    def part_of(case: dict[str, Any]) -> str:
        return case["part"] + (" cached" if case.get("chunk") else "")

    return [
        {
            "part": part_of(case),
            "queries": case["queries"],
            "way": case["way"] + (f" ({case['failed']})" if "failed" in case else ""),
            "ms": case.get("ms"),
            "x": times(case, "ms"),
            "MB": case.get("peak_mb"),
            "x MB": times(case, "peak_mb"),
            "goal": goal(part_of(case), case["way"]),
            "cosine": None if case.get("cosine") is None else round(case["cosine"], 6),
        }
        for case in found
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = ["losses", "cached", "encode", "train"]
    parser.add_argument("--parts", nargs="+", default=parts, choices=parts, metavar="NAME")
    parser.add_argument("--model", default=BASE, help="folder or package:NAME/PATH")
    parser.add_argument(
        "--pairs",
        nargs="+",
        type=int,
        default=[32, 256],
        metavar="N",
        help="of a batch in training; 256 of theirs take about 20 GB",
    )
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--steps", type=int, default=5, help="of each way, of which the fastest counts")
    parser.add_argument("--limit", type=float, default=600, help="seconds after which a way is given up")
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that it runs")
    parser.add_argument("--output", help="the JSON file")
    given = parser.parse_args()
    if given.quick:
        given.steps = 1
    found: list[dict[str, Any]] = []
    versions: dict[str, str] = {}
    for group in cases(given.parts, given.quick, given.pairs):
        own, known = measured(group, given)
        found += own
        versions |= {name: version for name, version in known.items() if name != "python"}
        print(report.table(rows(own)), file=sys.stderr, flush=True)
    print(report.table(rows(found)))
    report.write(
        "retrieval", {"threads": given.threads, "rows": rows(found), "versions": versions}, output=given.output
    )


if __name__ == "__main__":
    main()
