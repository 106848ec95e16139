"""Cells on a Ray cluster: the same tasks, sent to wherever Ray finds free cores."""

from __future__ import annotations

from typing import Any

from ltr.experiments.cells.cell import Outcome, Task, run_task
from ltr.machine.cluster import connected


class RayCluster:
    """Sends cells to a Ray cluster.

    The nodes need the same ltr and the collections under the same names (``${NAME}`` in a spec is each node's own
    environment). Results come back as bytes, so that no folder has to be shared.

    Args:
        address: of an existing cluster (``auto`` or HOST:PORT); ``local`` starts one that ends with the command.
        slots: cells that are sent at a time; None takes as many as the cluster's cores hold.
        threads: computing threads, and cores, of a cell.

    Raises:
        MissingExtra: Ray is not installed.
        ConfigError: no cluster answers at the address.
    """

    def __init__(self, address: str, slots: int | None = None, threads: int = 1):
        self._ray = ray = connected(address, "to run cells on a cluster")
        there = int(ray.cluster_resources().get("CPU", 1))
        self.slots = slots or max(1, there // threads)
        environment = {"env_vars": {"OMP_NUM_THREADS": str(threads)}}
        # a cell that kills its worker is reported, not repeated; a worker that ran a cell runs the next
        remote = ray.remote(num_cpus=threads, max_retries=0, runtime_env=environment)
        self._run = remote(_with_threads)
        self._threads = threads
        self._tasks: dict[Any, Task] = {}

    def submit(self, task: Task) -> None:
        self._tasks[self._run.remote(task, self._threads)] = task

    def next(self) -> tuple[Task, Outcome]:
        (ended, *_), _ = self._ray.wait(list(self._tasks), num_returns=1)
        task = self._tasks.pop(ended)
        try:
            return task, self._ray.get(ended)
        except self._ray.exceptions.RayError as error:
            reason = str(error).strip().splitlines()[0]
            return task, Outcome({"status": "failed", "reason": f"Ray lost the cell: {reason}"})

    def close(self) -> None:
        for ended in self._tasks:
            self._ray.cancel(ended, force=True)
        self._ray.shutdown()


def _with_threads(task: Task, threads: int) -> Outcome:
    import torch

    torch.set_num_threads(threads)
    return run_task(task)
