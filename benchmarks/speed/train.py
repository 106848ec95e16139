"""Pairs trained on per second and the memory that takes, by ltr and by others: 8 lists of 8 passages a step.

    python benchmarks/speed/train.py [--rounds 2] [--steps 2] [--threads 1] [--only ltr …] [--quick] [--output FILE]

Every way has the same encoder with a fresh head, texts, truncation (256 tokens), threads, optimiser and learning rate, and
tokenises its texts itself. Each is a process of its own, one at a time, started anew in every round; rounds are taken in
turn, the first step of a process is not counted. A ratio is the median over rounds of the first way's seconds a step by
the way's own. Memory is the largest resident set of the whole process, interpreter and packages included (on a GPU, what
torch had allocated on it at most). Takes about 12 minutes with one thread on a machine that does nothing else.

The packages' defaults differ: sentence-transformers and Lightning IR train with the encoder's attention dropout of 0.1, ltr
without, since torch's fused attention needs that on a CPU. The rows "equal dropout" are ltr with 0.1.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from dataclasses import dataclass
from typing import Any

from common import report
from common.children import Child, ChildFailed
from common.model import BASE
from common.rivals import python_of
from common.texts import questions

MAX_LENGTH = 256


@dataclass(frozen=True, eq=False)
class Way:
    """One row: a way of common/training_ways.py with its settings, in an environment."""

    name: str
    way: str
    settings: dict[str, Any]
    environment: str | None = None


#: the first is what ratios are to
WAYS = [
    Way("sentence-transformers ListNet fp32", "sentence-transformers", {"loss": "ListNetLoss"}, "current"),
    Way(
        "sentence-transformers ListNet bf16", "sentence-transformers", {"loss": "ListNetLoss", "bf16": True}, "current"
    ),
    Way("sentence-transformers LambdaLoss fp32", "sentence-transformers", {"loss": "LambdaLoss"}, "current"),
    Way("Lightning IR InfoNCE fp32", "lightning-ir", {}, "lightning-ir"),
    Way("Lightning IR InfoNCE bf16", "lightning-ir", {"bf16": True}, "lightning-ir"),
    Way("ltr ListNet fp32", "ltr", {"loss": "ListNet"}),
    Way("ltr ListNet bf16", "ltr", {"loss": "ListNet", "bf16": True}),
    Way("ltr ListNet fp32, equal dropout", "ltr", {"loss": "ListNet", "attention_dropout": 0.1}),
    Way("ltr ListNet bf16, equal dropout", "ltr", {"loss": "ListNet", "bf16": True, "attention_dropout": 0.1}),
]


def available(only: list[str] | None, ways: list[Way] = WAYS) -> dict[Way, str]:
    """Those of the ways whose names hold one of the given words, with their interpreters; says which are not installed."""
    found = {}
    for way in ways:
        if only and not any(word.lower() in way.name.lower() for word in only):
            continue
        python = sys.executable if way.environment is None else python_of(way.environment)
        if python is None:
            say(f"{way.name}: left out, its package is not installed (make rivals)")
        else:
            found[way] = str(python)
    return found


def measure(ways: dict[Way, str], task: dict[str, Any], rounds: int) -> dict[Way, list[dict[str, Any]]]:
    """What each way's process told in each round; a way that fails is dropped with its reason."""
    found: dict[Way, list[dict[str, Any]]] = {way: [] for way in ways}
    started, done, total = time.perf_counter(), 0, rounds * len(ways)
    for i in range(rounds):
        for way in list(found):
            own = {**task, "bf16": False, **way.settings, "way": way.way}
            try:
                child = Child(ways[way], "training_child.py", own, task["threads"])
                found[way].append({**child.ask({}), "versions": child.ready["versions"]})
                child.close()
            except ChildFailed as error:
                say(f"{way.name}: left out: {error}")
                del found[way]
                total -= rounds - i
                continue
            done += 1
            left = (time.perf_counter() - started) / done * (total - done)
            steps = ", ".join(f"{s:.1f}" for s in found[way][-1]["seconds"])
            say(f"round {i + 1} of {rounds}: {way.name}: {steps} s a step; about {left / 60:.1f} minutes left")
    return found


def rows_of(found: dict[Way, list[dict[str, Any]]], pairs: int, clock: str) -> list[dict[str, Any]]:
    """The table, in the order of the ways; ratios only where sentence-transformers was measured."""
    seconds = {way: [statistics.median(answer[clock]) for answer in answers] for way, answers in found.items()}
    memory = {way: max(answer["peak_mb"] for answer in answers) for way, answers in found.items()}
    named = {way.name: way for way in found}
    exact, lower = (named.get(f"sentence-transformers ListNet {precision}") for precision in ("fp32", "bf16"))

    def ratio(to: Way | None, way: Way) -> float | None:
        return to and round(statistics.median(a / b for a, b in zip(seconds[to], seconds[way], strict=True)), 2)

    return [
        {
            "way": way.name,
            "pairs/s": round(pairs / statistics.median(seconds[way]), 1),
            "x ST fp32": ratio(exact, way),
            "x ST bf16": ratio(lower, way),
            "peak MB": round(memory[way]),
            "memory / ST fp32": exact and round(memory[way] / memory[exact], 2),
        }
        for way in found
    ]


def say(text: str) -> None:
    """Progress, which is no result."""
    print(text, file=sys.stderr, flush=True)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lists", type=int, default=8, help="in a step")
    parser.add_argument("--docs", type=int, default=8, help="passages of each list")
    parser.add_argument("--steps", type=int, default=2, help="measured in each process, after a first one")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--only", nargs="+", metavar="WORD", help="only ways whose names hold one of these")
    parser.add_argument("--model", default=BASE, help="the encoder to start from")
    parser.add_argument(
        "--clock", choices=["seconds", "processor_seconds"], default="seconds",
        help="processor_seconds, with one thread, on a machine that others use too",
    )  # fmt: skip
    parser.add_argument("--quick", action="store_true", help="one short step of few passages: no figures to keep")
    parser.add_argument("--output", help="another file for the JSON")
    given = parser.parse_args()
    if given.quick:
        given.lists, given.docs, given.steps, given.rounds = 2, 4, 1, 1
    return given


def main() -> None:
    """Measure every way that can be, print and keep the table."""
    from ltr.io.model_names import located

    given = arguments()
    asked = questions((given.steps + 1) * given.lists, given.docs, "train", seed=2)
    task = {
        "model": located(given.model), "device": given.device, "threads": given.threads, "max_length": MAX_LENGTH,
        "steps": given.steps + 1, "lists": given.lists, "docs": given.docs, "questions": asked,
    }  # fmt: skip
    found = measure(available(given.only), task, given.rounds)
    if not found:
        raise SystemExit("train: no way is left to measure")
    rows = rows_of(found, given.lists * given.docs, given.clock)
    result = {
        "what": f"training steps of {given.lists} lists x {given.docs} passages, texts cut to {MAX_LENGTH} tokens; "
        f"{given.threads} thread{'s' * (given.threads > 1)} on {given.device}; peak MB: of the whole process",
        "clock": given.clock,
        "rounds": given.rounds,
        "quick": given.quick,
        "rows": rows,
        "seconds": {way.name: [answer[given.clock] for answer in answers] for way, answers in found.items()},
        "versions": {name: value for answers in found.values() for name, value in answers[0]["versions"].items()},
    }
    print(f"{result['what']}\n\n{report.table(rows)}")
    report.write("train", result, ("torch", "transformers", "pytorch-lightning", "ltr"), given.output)


if __name__ == "__main__":
    main()
