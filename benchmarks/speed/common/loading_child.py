"""What benchmarks/speed/loading.py measures in a process of its own: `python -m common.loading_child TASK SETTINGS`.

Prints one line of JSON. The cache (LTR_CACHE) and the collection are the caller's.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

from common.growth import Memory

STARTED = time.perf_counter()


def timed(into: dict[str, float], name: str, function: Callable) -> Callable:
    """The same function, adding the seconds of its calls to ``into[name]``."""

    def call(*args: Any, **kwargs: Any) -> Any:
        start = time.perf_counter()
        try:
            return function(*args, **kwargs)
        finally:
            into[name] = into.get(name, 0.0) + time.perf_counter() - start

    return call


def data_of(settings: dict[str, Any]) -> Any:
    """TextData of the made collection."""
    from ltr.data.lists.sampling import Sampling
    from ltr.data.text.text_data import TextData

    folder = settings["folder"]
    return TextData(
        train=f"{folder}/train", dev=f"{folder}/dev", train_candidates="first", dev_candidates="first",
        tokenizer=settings["model"], sampling=Sampling(docs_per_list=8), lists_per_batch=settings["lists"],
    )  # fmt: skip


def start(settings: dict[str, Any]) -> dict[str, Any]:
    """From nothing to the first training batch, as ``ltr fit`` goes: prepare, set up, describe, load."""
    memory = Memory()
    seconds: dict[str, float] = {}
    import ltr.training.module  # noqa: F401  (what a training imports: torch, Lightning)
    from ltr.data.collections.docstore import LineStore
    from ltr.data.tokens.store import TokenStore

    import transformers  # noqa: F401  # isort: skip

    seconds["imports"] = time.perf_counter() - STARTED
    LineStore._ready = timed(seconds, "doc_store", LineStore._ready)  # type: ignore[method-assign]
    begun, used = time.perf_counter(), time.process_time()
    data = data_of(settings)
    count = data._collection("train").n_docs if settings["build"] else None
    TokenStore.ensure = timed(seconds, "token_store", TokenStore.ensure)  # type: ignore[method-assign]
    data.prepare_data()
    data.setup("fit")
    data.signature  # noqa: B018  (the manifest of a training names it)
    data.describe()
    batch = next(iter(data.train_dataloader()))
    seconds |= {"data": time.perf_counter() - begun, "data_cpu": time.process_time() - used}
    return {"passages": count, "docs": batch.n_docs, **seconds, **memory.peaks()}


def throughput(settings: dict[str, Any]) -> dict[str, Any]:
    """How many batches the loader gives where nobody else wants the processor."""
    data = data_of(settings)
    data.prepare_data()
    data.setup("fit")
    loader = data.train_dataloader()
    iterator: Iterator = iter(loader)
    next(iterator)
    batches = docs = tokens = 0
    begun = time.perf_counter()
    for batch in iterator:
        batches, docs, tokens = batches + 1, docs + batch.n_docs, tokens + len(batch.tokens.ids)
        if time.perf_counter() - begun > settings["seconds"]:
            break
    wall = time.perf_counter() - begun
    return {"ms_per_batch": 1000 * wall / batches, "docs_per_s": docs / wall, "tokens_per_s": tokens / wall}


def train(settings: dict[str, Any]) -> dict[str, Any]:
    """A real training by Lightning: how long it waits for batches, and how long it takes."""
    import warnings

    import pytorch_lightning as pl
    import torch

    from ltr.data.lists.loaders import TrainLoader
    from ltr.losses import RankNet
    from ltr.scorers import CrossEncoder
    from ltr.training.module import RankingModule

    warnings.simplefilter("ignore")
    torch.set_num_threads(settings["threads"])
    waits: list[float] = []
    original = TrainLoader.__iter__

    def watched(loader: TrainLoader) -> Iterator:
        iterator = original(loader)
        while True:
            begun = time.perf_counter()
            try:
                batch = next(iterator)
            except StopIteration:
                return
            waits.append(time.perf_counter() - begun)
            yield batch

    TrainLoader.__iter__ = watched  # type: ignore[method-assign, assignment]
    data = data_of(settings)
    pl.seed_everything(1, verbose=False)
    scorer = CrossEncoder(settings["scorer"], layers=settings["layers"])
    module = RankingModule(scorer, RankNet())
    clock = Clock()
    trainer = pl.Trainer(
        max_steps=settings["steps"], limit_val_batches=0, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, callbacks=[clock], accelerator="auto", devices=1,
    )  # fmt: skip
    trainer.fit(module, datamodule=data)
    # the first step warms up, and the first wait is the start of an epoch, which `start` measures
    steps = len(clock.ends) - 1
    wall, waited = clock.ends[-1] - clock.ends[0], sum(waits[1 : steps + 1])
    return {
        "ms_per_step": 1000 * wall / steps,
        "wait_ms": 1000 * waited / steps,
        "wait_ms_median": 1000 * sorted(waits[1 : steps + 1])[steps // 2],
        "in_model_percent": 100 * (1 - waited / wall),
        "device": str(trainer.strategy.root_device),
    }


def Clock() -> Any:
    """A callback that notes when each step ended."""
    import pytorch_lightning as pl
    import torch

    class Ends(pl.Callback):
        def __init__(self) -> None:
            self.ends: list[float] = []

        def on_train_batch_end(self, *args: Any) -> None:
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            self.ends.append(time.perf_counter())

    return Ends()


if __name__ == "__main__":
    print(json.dumps({"start": start, "throughput": throughput, "train": train}[sys.argv[1]](json.loads(sys.argv[2]))))
