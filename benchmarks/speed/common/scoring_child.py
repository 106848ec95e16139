"""A process that scores the same texts again and again, from texts to scores, in one of several ways.

Started by rerank.py with the interpreter of the package's environment. The first line it reads says which way, which model
and which texts; at every further line it scores them all and answers with seconds and scores.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

# after this, the folders of the benchmarks leave the path: their scripts have names that packages look for, such as evaluate
sys.path[0] = str(Path(__file__).parents[1])
from common import scoring_ways  # noqa: E402
from common.children import answer, peak_megabytes  # noqa: E402

del sys.path[0]


def worker(task: dict[str, Any]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Load the model of a task; gives what scores its texts."""
    import torch

    torch.set_num_threads(task["threads"])
    score = scoring_ways.WAYS[task["way"]](task)
    cuda = task["device"].startswith("cuda")

    def run(_: dict[str, Any]) -> dict[str, Any]:
        started, busy = time.perf_counter(), time.process_time()
        scores = score()
        # scores are numbers of Python here: whatever was computed elsewhere has arrived
        found = {"seconds": time.perf_counter() - started, "processor_seconds": time.process_time() - busy}
        peak = torch.cuda.max_memory_allocated() / 2**20 if cuda else peak_megabytes()
        return {**found, "peak_mb": peak, "scores": scores}

    return run


if __name__ == "__main__":
    answer(worker)
