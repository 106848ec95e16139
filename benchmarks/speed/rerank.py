"""Passages scored per second, from texts to scores, by ltr and by others; and how far lower precisions move the scores.

    python benchmarks/speed/rerank.py [--queries 16] [--docs 50] [--rounds 3] [--threads N] [--only ltr openvino …]
                                      [--also NAME=FOLDER:PRECISION …] [--quick] [--output FILE]

Every way has the same model, texts, truncation (256 tokens) and threads, and tokenises them itself in every round. Each is
a process of its own that stays, since packages need different environments; rounds are taken in turn, the first is not
counted, and ratios are medians over rounds of sentence-transformers' seconds by a way's own. All processes together need
some 10 GB. Takes about 6 minutes on two cores; the first time some more, to train the model (common/model.py).

Columns: "x ST fp32" is the speed against sentence-transformers' predict as it comes; "% of the peak" are the operations
that real tokens need (common/drift.py) against the best square product of the precision (machine.py), in the same run;
"tau" is Kendall's tau to the fp32 scores, mean over queries; "moved" the largest difference of a score; nDCG@10 and MRR
are on the passages that the queries were taken from.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import machine
import numpy as np
from common import drift, report
from common.children import Child, ChildFailed
from common.exported import exported
from common.model import BASE, STEPS, model_folder
from common.rivals import python_of
from common.texts import Asked, questions

from ltr.errors import LtrError

MAX_LENGTH = 256


class Way(NamedTuple):
    """One row: a way of common/scoring_ways.py at a precision, in an environment, perhaps with a model of its own."""

    name: str
    way: str
    precision: str
    environment: str | None = None
    model: str | None = None


#: the first is what speeds are ratios to, and the first in fp32 what drift is measured from
WAYS = [
    Way("sentence-transformers fp32", "sentence-transformers", "32", "current"),
    Way("sentence-transformers bf16", "sentence-transformers", "bf16", "current"),
    Way("Lightning IR fp32", "lightning-ir", "32", "lightning-ir"),
    Way("sorted batches fp32", "sorted", "32"),
    Way("sorted batches bf16", "sorted", "bf16"),
    Way("OpenVINO fp32", "openvino", "32", "current"),
    Way("OpenVINO bf16", "openvino", "bf16", "current"),
    Way("OpenVINO int8", "openvino", "int8", "current"),
    Way("ltr fp32", "ltr", "32"),
    Way("ltr bf16", "ltr", "bf16"),
    Way("ltr int8", "ltr", "int8"),
]
#: precision -> name in machine.py, whose peak it has
PEAKS = {"32": "fp32", "bf16": "bf16", "int8": "int8"}


def chosen(only: list[str] | None, also: list[str]) -> list[Way]:
    """The ways whose names hold one of the given words, and those with models of their own."""
    ways = [way for way in WAYS if not only or any(word.lower() in way.name.lower() for word in only)]
    for text in also:
        name, _, rest = text.partition("=")
        folder, _, precision = rest.rpartition(":")
        if not (name and folder and precision):
            raise SystemExit(f"rerank: --also takes NAME=FOLDER:PRECISION, got {text!r}")
        ways.append(Way(name, "ltr", precision, None, folder))
    return ways


def open_ways(ways: list[Way], task: dict[str, Any], threads: int) -> dict[Way, Child]:
    """A process for each way; says which cannot be measured here, and why."""
    children: dict[Way, Child] = {}
    for way in ways:
        python = sys.executable if way.environment is None else python_of(way.environment)
        if python is None:
            say(f"{way.name}: left out, its package is not installed (make rivals)")
            continue
        own = {**task, "way": way.way, "precision": way.precision, "model": way.model or task["model"]}
        try:
            if way.way == "ltr" and way.precision == "int8":
                own["precision"] = "auto"  # an exported model has one precision
                own["model"] = way.model or str(exported(Path(task["model"]), task["max_length"], task["quick"]))
            children[way] = Child(python, "scoring_child.py", own, threads)
            say(f"{way.name}: ready after {children[way].ready['load_seconds']:.1f} s")
        except (ChildFailed, LtrError) as error:
            say(f"{way.name}: left out: {error}")
    return children


def measure(children: dict[Way, Child], rounds: int) -> dict[Way, list[dict[str, Any]]]:
    """What each way answered in each round, the first round among them; a way that fails is dropped with its reason."""
    found: dict[Way, list[dict[str, Any]]] = {way: [] for way in children}
    started = time.perf_counter()
    for i in range(rounds + 1):
        # there and back again: who comes after whom matters a little on a warm machine
        for way in list(found)[:: 1 if i % 2 else -1]:
            try:
                found[way].append(children[way].ask({}))
            except ChildFailed as error:
                say(f"{way.name}: left out: {error}")
                del found[way]
        left = (time.perf_counter() - started) / (i + 1) * (rounds - i)
        say(f"round {i} of {rounds} done (0 warms up), about {left / 60:.1f} minutes left")
    return found


def rows_of(
    found: dict[Way, list[dict[str, Any]]],
    asked: list[Asked],
    gigaops: float,
    peaks: dict[str, float | None],
    clock: str,
) -> list[dict[str, Any]]:
    """The table, in the order of the ways."""
    n_docs = sum(len(q.docs) for q in asked)
    seconds = {way: [answer[clock] for answer in answers[1:]] for way, answers in found.items()}
    first = next(iter(found))
    exact = next((way for way in found if way.precision == "32" and way.way != "lightning-ir"), first)
    scores = {way: np.array(answers[-1]["scores"]).reshape(len(asked), -1) for way, answers in found.items()}
    rows = []
    for way, own in seconds.items():
        rate, limit = n_docs / statistics.median(own), peaks.get(PEAKS.get(way.precision, ""))
        ratio = statistics.median(a / b for a, b in zip(seconds[first], own, strict=True))
        comparable = way.way != "lightning-ir"  # its head is its own, with random weights
        ndcg, mrr = drift.quality(scores[way], [q.positive for q in asked])
        rows.append(
            {
                "way": way.name,
                "docs/s": round(rate, 1),
                "x ST fp32": round(ratio, 2) if first.name == WAYS[0].name else None,
                "% of the peak": limit and round(100 * rate * gigaops / n_docs / limit, 1),
                "tau": round(drift.kendall(scores[exact], scores[way]), 4) if comparable else None,
                "moved": float(f"{np.abs(scores[way] - scores[exact]).max():.2g}") if comparable else None,
                "nDCG@10": round(ndcg, 4) if comparable else None,
                "MRR": round(mrr, 4) if comparable else None,
                "peak MB": round(found[way][-1]["peak_mb"]),
            }
        )
    return rows


def cost(asked: list[Asked], model: str, limit: int) -> tuple[float, float, float]:
    """(10^9 operations that the passages need, their mean tokens, share of those that were cut to ``limit`` tokens)."""
    from transformers import AutoConfig, AutoTokenizer

    config = AutoConfig.from_pretrained(model)
    queries, docs = [q.query for q in asked for _ in q.docs], [doc for q in asked for doc in q.docs]
    ids = AutoTokenizer.from_pretrained(model)(queries, docs, truncation=False, verbose=False)["input_ids"]
    whole = np.array([len(one) for one in ids])
    lengths = np.minimum(whole, limit)
    return drift.operations(lengths, config) / 1e9, float(lengths.mean()), float((whole > limit).mean())


def peaks_now(given: argparse.Namespace) -> dict[str, float | None]:
    """The peak of each precision at this moment; taken before and after, since other work may disturb one of them."""
    seconds, size = (0.02, 256) if given.quick else (1.0, 2048)
    return {name: machine.peak(name, seconds, given.device, size) for name in PEAKS.values()}


def longest(model: str) -> int:
    """Tokens that texts are cut to: fewer where a model has not so many positions."""
    from transformers import AutoConfig

    from ltr.scorers.text.loading import max_positions

    return min(MAX_LENGTH, max_positions(AutoConfig.from_pretrained(model)) or MAX_LENGTH)


def say(text: str) -> None:
    """Progress, which is no result."""
    print(text, file=sys.stderr, flush=True)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--queries", type=int, default=16)
    parser.add_argument("--docs", type=int, default=50, help="passages of each query")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--only", nargs="+", metavar="WORD", help="only ways whose names hold one of these")
    parser.add_argument("--also", nargs="+", default=[], metavar="NAME=FOLDER:PRECISION", help="a model that ltr saved")
    parser.add_argument("--model", help="another trained cross-encoder instead of the one of common/model.py")
    parser.add_argument("--steps", type=int, default=STEPS, help="of its training")
    parser.add_argument("--work", type=Path, help="where models are kept; default: the user's cache")
    parser.add_argument(
        "--clock", choices=["seconds", "processor_seconds"], default="seconds",
        help="processor_seconds, with --threads 1, on a machine that others use too",
    )  # fmt: skip
    parser.add_argument("--quick", action="store_true", help="few texts, one round: no figures to keep")
    parser.add_argument("--output", help="another file for the JSON")
    given = parser.parse_args()
    if given.quick:
        given.queries, given.docs, given.rounds = 2, 8, 1
        given.steps = min(given.steps, 2)
    return given


def main() -> None:
    """Train or find the model, start the processes, measure, print and keep the table."""
    given = arguments()
    model = given.model or str(model_folder(given.work, BASE, given.steps))
    asked, other = questions(given.queries, given.docs), questions(4, 32, "train", seed=1)
    limit = longest(model)
    gigaops, mean_tokens, cut = cost(asked, model, limit)
    task = {
        "model": model, "device": given.device, "threads": given.threads, "max_length": limit,
        "quick": given.quick, "work": model, "queries": [q.query for q in asked], "docs": [q.docs for q in asked],
        "calibration": {"queries": [q.query for q in other], "docs": [q.docs for q in other]},
    }  # fmt: skip
    machine.torch.set_num_threads(given.threads)
    before = peaks_now(given)
    children = open_ways(chosen(given.only, given.also), task, given.threads)
    if not children:
        raise SystemExit("rerank: no way is left to measure")
    try:
        found = measure(children, given.rounds)
    finally:
        for child in children.values():
            child.close()
    if not any(found.values()):
        raise SystemExit("rerank: every way failed, see above")
    peaks = {name: value and max(value, before[name] or 0) for name, value in peaks_now(given).items()}
    rows = rows_of(found, asked, gigaops, peaks, given.clock)
    n_docs = given.queries * given.docs
    result = {
        "what": f"{given.queries} queries x {given.docs} passages, {mean_tokens:.0f} tokens a pair, {100 * cut:.1f} % cut to "
        f"{limit}; {gigaops / n_docs:.2f} GFLOP a pair; {given.threads} threads on {given.device}; from texts to scores",
        "clock": given.clock,
        "rounds": given.rounds,
        "quick": given.quick,
        "peaks": {name: value and round(value, 1) for name, value in peaks.items()},
        "rows": rows,
        "seconds": {way.name: [round(a[given.clock], 3) for a in answers] for way, answers in found.items()},
        "versions": {name: value for way in found for name, value in children[way].ready.get("versions", {}).items()},
    }
    print(f"{result['what']}\n\n{report.table(rows)}")
    report.write("rerank", result, ("torch", "transformers", "ltr"), given.output)


if __name__ == "__main__":
    main()
