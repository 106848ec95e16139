"""Training and losses beside other processes that want the same processors, and alone.

    python benchmarks/speed/busy.py [--neighbours 4] [--rounds 3] [--losses RankNet …] [--quick] [--output FILE]

Three ways in turn, each in a process of its own that stays: as many workers of one torch thread as processors, each of which
computes documents (or pairs) of its own, which is what ltr does; one thread; and torch's own threads on one batch, which share
each operation and wait for each other. All are measured alone, then beside busy processes that this script starts and ends.
A ratio is that of the smallest seconds of a step over all rounds. Takes about 10 minutes on two processors.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from typing import Any

from common import report
from common.children import Child
from common.model import BASE
from common.neighbours import Neighbours
from common.texts import questions

from ltr.machine.cores import cores

WORKERS, ONE, SHARED = "workers", "one thread", "torch's threads"
LOSSES = ["RankNet", "LambdaRank", "ApproxNDCG", "NeuralNDCG"]


def ways(threads: int) -> dict[str, dict[str, Any]]:
    """What each way computes with."""
    return {
        WORKERS: {"threads": threads, "workers": True},
        ONE: {"threads": 1, "workers": True},
        SHARED: {"threads": threads, "workers": False},
    }


def measure(
    children: dict[str, Child], works: list[str], given: argparse.Namespace
) -> dict[str, dict[str, list[float]]]:
    """Work -> way -> seconds of its steps, ways in turn."""
    found: dict[str, dict[str, list[float]]] = {work: {way: [] for way in children} for work in works}
    for i in range(given.rounds):
        for work in works:
            for way, child in children.items():
                steps = given.steps if work == "train" else given.loss_steps
                found[work][way] += child.ask({"work": work, "steps": steps})["seconds"]
            told = ", ".join(f"{way} {min(seconds):.3g} s" for way, seconds in found[work].items())
            print(f"round {i + 1} of {given.rounds}: {work}: {told}", file=sys.stderr, flush=True)
    return found


def rows(found: dict[str, dict[str, list[float]]], beside: int) -> list[dict[str, Any]]:
    """A line for each work: the least seconds of each way, and how much longer the others take than workers."""
    lines = []
    for work, seconds in found.items():
        least = {way: min(own) for way, own in seconds.items()}
        lines.append(
            {
                "beside": f"{beside} busy" if beside else "alone",
                "work": work,
                **{f"{way} s": round(least[way], 4) for way in least},
                "torch's threads / workers": round(least[SHARED] / least[WORKERS], 2),
                "one thread / workers": round(least[ONE] / least[WORKERS], 2),
            }
        )
    return lines


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--neighbours", type=int, default=4, help="busy processes")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=2, help="of training in each round, after a first one")
    parser.add_argument("--loss-steps", type=int, default=5, help="of each loss in each round, after a first one")
    parser.add_argument("--lists", type=int, default=8, help="in a training step")
    parser.add_argument("--docs", type=int, default=6, help="passages of each list")
    parser.add_argument("--threads", type=int, default=cores())
    parser.add_argument("--losses", nargs="*", default=LOSSES, metavar="NAME", help="which losses")
    parser.add_argument("--loss-size", default="64x1000", help="lists x documents of the losses")
    parser.add_argument("--model", default=BASE, help="the encoder to start from")
    parser.add_argument("--fp32", action="store_true", help="train in float32 where the hardware multiplies bfloat16")
    parser.add_argument("--quick", action="store_true", help="one short round: no figures to keep")
    parser.add_argument("--output", help="another file for the JSON")
    given = parser.parse_args()
    if given.quick:
        given.rounds = given.steps = given.loss_steps = 1
        given.lists, given.docs, given.neighbours = 2, 4, min(2, given.neighbours)
        given.losses, given.loss_size = given.losses[:1], "4x300"
    return given


def main() -> None:
    """Measure all ways alone and beside others, print and keep the table."""
    import torch

    from ltr.io.model_names import located
    from ltr.scorers.hardware import multiplies_bf16

    given = arguments()
    task = {
        "model": located(given.model), "device": "cpu", "max_length": 256, "lists": given.lists, "docs": given.docs,
        "loss": "ListNet", "loss_size": [int(n) for n in given.loss_size.split("x")],
        "bf16": multiplies_bf16(torch.device("cpu")) and not given.fp32,
        "questions": questions((given.steps + 1) * given.lists, given.docs, "train", seed=2),
    }  # fmt: skip
    works, lines, seconds = ["train", *given.losses], [], {}
    with contextlib.ExitStack() as opened:
        children = {}
        for way, own in ways(given.threads).items():
            children[way] = Child(sys.executable, "busy_child.py", {**task, **own}, own["threads"])
            opened.callback(children[way].close)
        for number in (0, given.neighbours):
            with Neighbours(number):
                found = measure(children, works, given)
            lines += rows(found, number)
            where = f"beside {number}" if number else "alone"
            seconds |= {f"{where}: {work}: {way}": own for work, by in found.items() for way, own in by.items()}
    result = {
        "what": f"steps beside {given.neighbours} busy processes and alone: training {given.lists} lists x {given.docs} passages "
        f"({'bf16' if task['bf16'] else 'fp32'}), losses of {given.loss_size.replace('x', ' lists x ')} documents, {given.threads} threads; the least of "
        f"{given.rounds} rounds",
        "quick": given.quick,
        "rows": lines,
        "seconds": seconds,
    }
    print(f"{result['what']}\n\n{report.table(lines)}")
    report.write("busy", result, ("torch", "transformers", "pytorch-lightning", "ltr"), given.output)


if __name__ == "__main__":
    main()
