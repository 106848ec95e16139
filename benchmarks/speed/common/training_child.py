"""A process that takes a few training steps in one of several ways and tells when each was done and what memory it took.

Started by train.py and align.py with the interpreter of the package's environment, for one line: which way, which model, which texts.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

# after this, the folders of the benchmarks leave the path: their scripts have names that packages look for, such as evaluate
sys.path[0] = str(Path(__file__).parents[1])
from common import alignment_ways, training_ways  # noqa: E402
from common.children import answer, peak_megabytes  # noqa: E402

del sys.path[0]


def run(task: dict[str, Any]) -> dict[str, Any]:
    """Train for the steps of a task; the first one is not counted: it sets packages up and touches memory first."""
    import torch

    torch.set_num_threads(task["threads"])
    torch.manual_seed(0)
    clock = training_ways.Clock(task["device"])
    ways = training_ways.WAYS if "questions" in task else alignment_ways.WAYS
    ways[task["way"]](task, clock)
    cuda = task["device"].startswith("cuda")
    peak = torch.cuda.max_memory_allocated() / 2**20 if cuda else peak_megabytes()
    return {"seconds": clock.seconds[1:], "processor_seconds": clock.processor_seconds[1:], "peak_mb": peak}


def worker(task: dict[str, Any]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Nothing is made ready: the first step is the first that is timed."""
    return lambda _: run(task)


if __name__ == "__main__":
    answer(worker)
