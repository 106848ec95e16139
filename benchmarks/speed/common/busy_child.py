"""A process that takes training steps of a cross-encoder, or steps of losses, in one of several ways to use the processors.

Started by busy.py for questions ``{"work": "train" | name of a loss, "steps": n}``; its task says the way.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path[0] = str(Path(__file__).parents[1])
from common import loss_steps, training_ways  # noqa: E402
from common.children import answer  # noqa: E402

del sys.path[0]


def without_workers() -> None:
    """Let torch's own threads share each operation, as they did before there were workers."""
    from ltr.losses import base
    from ltr.losses.engines import blocks, soft_sorting
    from ltr.scorers.text import cross_encoder

    base.alone = contextlib.nullcontext
    for module in (blocks, soft_sorting, cross_encoder):
        module.workers = lambda: 1


def loss_seconds(name: str, steps: int, lists: int, docs: int) -> list[float]:
    """Seconds of forward and backward steps."""
    import torch

    step = loss_steps.ltr(name)
    generator = torch.Generator().manual_seed(0)
    scores, labels = torch.randn(lists, docs, generator=generator), torch.randint(0, 5, (lists, docs)).float()
    found = []
    for _ in range(steps):
        started = time.perf_counter()
        step(scores.clone().requires_grad_(), labels)
        found.append(time.perf_counter() - started)
    return found


def worker(task: dict[str, Any]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """The way that the task names."""
    import torch

    torch.set_num_threads(task["threads"])
    if not task["workers"]:
        without_workers()

    def measured(question: dict[str, Any]) -> dict[str, Any]:
        before = time.process_time()
        if question["work"] == "train":
            clock = training_ways.Clock("cpu")
            training_ways.ltr({**task, "steps": question["steps"] + 1}, clock)
            return {"seconds": clock.seconds[1:], "processor_seconds": clock.processor_seconds[1:]}
        seconds = loss_seconds(question["work"], question["steps"] + 1, *task["loss_size"])[1:]
        return {"seconds": seconds, "processor_seconds": [time.process_time() - before]}

    return measured


if __name__ == "__main__":
    answer(worker)
