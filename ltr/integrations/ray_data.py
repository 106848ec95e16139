"""Scores and rankings on a Ray cluster, by Ray Data: workers that each hold the model, and repeat what one that dies has lost."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ltr.errors import ConfigError, DataError, LtrError
from ltr.inference import RemoteReranker, Reranker
from ltr.inference.bulk import SHARD, Columns, score_part, writing
from ltr.inference.bulk_rows import count_rows
from ltr.inference.documents import Ranked
from ltr.integrations.rankers import ranker_of, scores_of_rows
from ltr.io.files import clear_leftovers
from ltr.io.runs import Run
from ltr.machine.cluster import connected

if TYPE_CHECKING:
    from ray.data import Dataset

#: precisions as models name what they compute in -> as they are asked for
PRECISIONS = {"float32": "32", "bfloat16": "bf16"}
#: pieces of work that Ray keeps count of
MOST_BLOCKS = 4096


@dataclass(frozen=True)
class Model:
    """Which model each worker opens, and how.

    Args:
        name: folder or hub id, the same on every node, or the address of a server.
        device: see ``Reranker``.
        precision: see ``Reranker``.
        allow: see ``Reranker.load``.
        options: what else ``Reranker.load`` takes, by name.
    """

    name: str
    device: str = "auto"
    precision: str = "auto"
    allow: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def like(
        cls,
        name: str,
        reranker: Reranker | RemoteReranker,
        device: str,
        allow: Sequence[str] = (),
        batch_tokens: int | Literal["auto"] | None = None,
    ) -> Model:
        """What opens in workers what is open here: the same folder, in the same precision, with the same settings."""
        place = os.path.abspath(name) if os.path.exists(name) else name
        if isinstance(reranker, RemoteReranker):
            return cls(place)
        settings = reranker.settings
        names = ["max_length", "passages", "stride", "max_passages"]
        if not settings.form:  # a prompt gets what its response leaves
            names.append("max_query_length")
        options = {name: getattr(settings, name) for name in names} | {"batch_tokens": batch_tokens}
        return cls(place, device, PRECISIONS.get(reranker.precision, "auto"), tuple(allow), options)

    def opened(self) -> Reranker | RemoteReranker:
        """The ranker, in a worker: with one computing thread, since there is a worker for each core."""
        import torch

        torch.set_num_threads(1)
        if self.name.startswith(("http://", "https://")):
            return RemoteReranker(self.name)
        return Reranker.load(self.name, self.device, self.precision, allow=self.allow, **self.options)


@dataclass(frozen=True)
class Workers:
    """How many workers there are, and what each takes of the cluster.

    Args:
        count: how many; None for one on each GPU, or on each core where there is no GPU.
        device: ``cpu`` leaves GPUs alone.

    Raises:
        ConfigError: fewer than one worker.
    """

    count: int | None = None
    device: str = "auto"

    def __post_init__(self) -> None:
        if self.count is not None and self.count < 1:
            raise ConfigError(f"--workers must be at least 1, got {self.count}")

    def share(self, ray: Any) -> tuple[int, dict[str, int]]:
        """How many there are, and what each takes."""
        there = ray.cluster_resources()
        gpus = 0 if self.device == "cpu" else int(there.get("GPU", 0))
        return self.count or max(1, gpus or int(there.get("CPU", 1))), {"num_gpus": 1} if gpus else {"num_cpus": 1}

    def settings(self, ray: Any) -> dict[str, Any]:
        """What ``Dataset.map_batches`` takes."""
        from ray.data import ActorPoolStrategy

        count, share = self.share(ray)
        return {"compute": ActorPoolStrategy(size=count), **share}


def scored(
    rows: Dataset,
    model: str,
    query: str = "query",
    text: str = "text",
    into: str = "score",
    probability: bool = False,
    workers: Workers = Workers(),
    batch: int = 1024,
) -> Dataset:
    """A dataset of Ray with a column of scores; nothing is computed before it is read.

    Args:
        rows: one for each query and document.
        model: folder or hub id, the same on every node, or the address of a server.
        query, text: columns with the texts of both.
        into: the column of scores, float64.
        probability: see ``Reranker.rank``.
        workers: see ``Workers``.
        batch: rows that a worker scores together.

    Raises:
        DataError: in a worker, for an empty query or a cell that is no text.
    """
    import ray

    given = {
        "model": Model(model, workers.device),
        "query": query,
        "text": text,
        "into": into,
        "probability": probability,
    }
    return rows.map_batches(_Column, batch_size=batch, fn_constructor_kwargs=given, **workers.settings(ray))


class _Column:
    """A worker of ``scored``."""

    def __init__(self, model: Model, query: str, text: str, into: str, probability: bool):
        self.ranker = ranker_of(model.opened())
        self.query, self.text, self.into, self.probability = query, text, into, probability

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        queries, texts = list(batch[self.query]), list(batch[self.text])
        return {**batch, self.into: scores_of_rows(self.ranker, queries, texts, self.probability)}


# ------------------------------------------------------------------ ltr score


def score_on_ray(
    source: str | os.PathLike,
    output: str | os.PathLike,
    model: Model,
    columns: Columns,
    signature: Mapping[str, str],
    address: str,
    workers: Workers = Workers(),
    shard: int = SHARD,
    done: Callable[[int], object] = lambda rows: None,
) -> int:
    """What ``ltr.inference.bulk.score_rows`` does, by workers of a cluster: the same files, whichever worker wrote them.

    Each worker reads its rows and writes its files itself, so that source and output must be folders that all nodes share.
    A file is written whole or not at all; what a worker that dies had begun is done again.

    Args:
        source: a Parquet file.
        output, columns, signature, shard, done: see ``score_rows``.
        model: what workers open.
        address: ``local``, ``auto``, or HOST:PORT.
        workers: see ``Workers``.

    Returns:
        How many rows there are.

    Raises:
        ConfigError: a source that is no Parquet, no cluster at the address.
        DataError: see ``score_rows``.
        MissingExtra: Ray is not installed.
    """
    source, output = Path(os.path.abspath(source)), Path(os.path.abspath(output))
    total = count_rows(source, columns.every)
    with writing(source, output, columns, {**signature, "shard": str(shard)}):
        clear_leftovers(output)
        numbers = [{"number": number} for number in range(-(-total // shard))]
        given = {
            "model": model, "source": str(source), "output": str(output), "columns": columns, "shard": shard, "total": total,
        }  # fmt: skip
        for found in worked(address, "to score on a cluster", numbers, _Shards, given, workers):
            done(found["rows"])
        clear_leftovers(output)
    return total


class _Shards:
    """A worker of ``score_on_ray``."""

    def __init__(self, model: Model, source: str, output: str, columns: Columns, shard: int, total: int):
        self.score = model.opened().score
        self.places, self.columns, self.shard, self.total = (Path(source), Path(output)), columns, shard, total

    def work(self, number: int) -> dict[str, Any]:
        rows = score_part(*self.places, self.score, self.columns, self.shard, number, self.total)
        return {"rows": rows}

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        return answered(self, batch)


# ------------------------------------------------------------------ ltr rerank --run


@dataclass(frozen=True)
class OnRay:
    """Ranks blocks of a run on a cluster, as ``ltr.inference.run_reranking.Ranking`` wants it; each worker opens the collection itself.

    Attributes:
        address: see ``score_on_ray``.
        workers: see ``Workers``.
        model: what workers open.
        dataset: the collection's name, or a folder that all nodes share.
        first: the run.
        top_k, interpolate, probability: see ``Reranker.rank``.
    """

    address: str
    workers: Workers
    model: Model
    dataset: str
    first: Run
    top_k: int | None = None
    interpolate: bool | float = False
    probability: bool = False

    def __call__(self, blocks: Sequence[Sequence[str]]) -> Iterator[list[list[Ranked]]]:
        dataset = os.path.abspath(self.dataset) if os.path.exists(self.dataset) else self.dataset
        options = {"top_k": self.top_k, "interpolate": self.interpolate, "probability": self.probability}
        given = {"model": self.model, "dataset": dataset, "options": options}
        items = [
            {
                "block": list(block),
                "ids": [self.first[q][0].tolist() for q in block],
                "scores": [self.first[q][1].tolist() for q in block],
            }
            for block in blocks
        ]
        for found in worked(self.address, "to rerank on a cluster", items, _Blocks, given, self.workers):
            yield [[Ranked(**one) for one in own] for own in found["ranked"]]


class _Blocks:
    """A worker of ``OnRay``."""

    def __init__(self, model: Model, dataset: str, options: Mapping[str, Any]):
        from ltr.data.collections.collection import load
        from ltr.inference.run_reranking import InProcess

        reranker = model.opened()
        assert isinstance(reranker, Reranker)
        # the run is that of each block
        self.ranking = InProcess(reranker, load(dataset), Run.from_dict({}), **options)

    def work(self, block: list[str], ids: list[list[str]], scores: list[list[float]]) -> dict[str, Any]:
        return {"ranked": [[asdict(one) for one in own] for own in self.ranking.rank(block, ids, scores)]}

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        return answered(self, batch)


# ------------------------------------------------------------------ pieces of work, there and back


def worked(
    address: str,
    purpose: str,
    items: Sequence[Mapping[str, Any]],
    worker: type,
    given: Mapping[str, Any],
    workers: Workers,
) -> Iterator[dict[str, Any]]:
    """What workers make of some items, in the order of these. Raises what a worker found wrong with one."""
    if not items:
        return
    ray = connected(address, purpose)
    try:
        from ray.data import DataContext

        context = DataContext.get_current()
        context.enable_progress_bars = False
        context.execution_options.preserve_order = True
        data = ray.data.from_items(
            [{"item": json.dumps(item)} for item in items], override_num_blocks=min(len(items), MOST_BLOCKS)
        )
        done = data.map_batches(worker, batch_size=1, fn_constructor_kwargs=dict(given), **workers.settings(ray))
        # else it tells of its plans, and that there are no bars
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        for row in done.iter_rows():
            found = json.loads(row["found"])
            if "error" in found:
                raise DataError(found["error"])
            yield found
    finally:
        ray.shutdown()


def answered(worker: Any, batch: Mapping[str, Any]) -> dict[str, list[str]]:
    """What a worker makes of a batch of items, or what is wrong with one."""
    found = []
    for item in batch["item"]:
        try:
            found.append(worker.work(**json.loads(item)))
        except LtrError as error:  # as it is: in an error of Ray's it would stand below a page of its own
            found.append({"error": str(error)})
    return {"found": [json.dumps(one) for one in found]}
