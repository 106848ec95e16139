"""One cell of a benchmark: train a scorer with a loss (or a ranker from outside), and score the test part."""

from __future__ import annotations

import contextlib
import io
import json
import time
import traceback
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ltr.errors import ConfigError, DataError, LtrError
from ltr.experiments.cells.peak_memory import PeakMemory
from ltr.experiments.cells.truth import Truth
from ltr.experiments.contents import CODE, Contents, changed, contents
from ltr.experiments.spec.building import build, takes
from ltr.metrics import LabelledLists
from ltr.training.defaults import TRAINER_DEFAULTS, quieten
from ltr.training.scored import truth_of

if TYPE_CHECKING:
    from ltr.data.base import RankingData
    from ltr.training import RankingModule

Config = dict[str, Any]

#: a cell is one process, whose log is read only where it failed
TRAINER: Config = {**TRAINER_DEFAULTS, "devices": 1, "enable_progress_bar": False}


@dataclass(frozen=True)
class Task:
    """All that a cell needs, as plain values that travel to any process or machine.

    Attributes:
        data_name, scorer_name, loss_name: the cell's names in the spec; ``scorer_name`` is that of the ranker for one.
        run: ``trial-3`` or ``seed-0``.
        data, scorer, ranker: ``class_path`` and ``init_args``; a task has a scorer and a loss, or a ranker.
        loss: the expression.
        model, trainer: settings of RankingModule and of Lightning's trainer.
        params: what this cell's trial chose (already in the settings above).
        monitor: the dev measure that decides; ``larger`` whether larger is better.
        measures: what dev is measured with.
        patience: see Spec.
        seed: of weights, order and negatives.
        test: whether the test part is scored.
        contents: what the data and the scorer's model hold, where that could be read when the cell was planned.
    """

    data_name: str
    scorer_name: str
    loss_name: str
    run: str
    data: Config
    seed: int
    monitor: str
    larger: bool
    measures: list[str]
    scorer: Config | None = None
    loss: str | None = None
    ranker: Config | None = None
    model: Config = field(default_factory=dict)
    trainer: Config = field(default_factory=dict)
    params: Config = field(default_factory=dict)
    patience: int | None = None
    test: bool = False
    contents: Contents | None = None

    @property
    def title(self) -> str:
        names = [self.data_name, self.scorer_name, self.loss_name, self.run.replace("-", " ")]
        return " · ".join(dict.fromkeys(names))


@dataclass
class Outcome:
    """What a cell gives back.

    Attributes:
        record: plain values: ``status`` (finished or failed), ``seconds``, ``value`` (best dev value) and so on.
        files: name -> content of the small files that belong into the cell's folder.
        truth: what the test part really is, where it was scored.
    """

    record: dict[str, Any]
    files: dict[str, bytes] = field(default_factory=dict)
    truth: Truth | None = None

    @property
    def finished(self) -> bool:
        return self.record["status"] == "finished"


def run_task(task: Task) -> Outcome:
    """Train and measure one cell; whatever goes wrong comes back as a failed outcome with its reason."""
    # before anything is measured or redirected: a first cell does not pay for Lightning, whose log keeps the stream
    # that it finds
    import ltr.training.module  # noqa: F401

    said = io.StringIO()
    memory = PeakMemory()
    start = time.perf_counter()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            held = _checked(task)
            outcome = _outside(task) if task.ranker is not None else _trained(task)
            outcome.record["contents"] = held
        except Exception as error:  # that a cell failed, and why, is a result: the others go on
            kind = "" if isinstance(error, LtrError) else f"{type(error).__name__}: "
            outcome = Outcome({"status": "failed", "reason": f"{kind}{error}".strip() or type(error).__name__})
            outcome.files["error.txt"] = traceback.format_exc().encode()
    if said.getvalue():
        outcome.files["log.txt"] = said.getvalue().encode()
    outcome.record |= {"total_seconds": round(time.perf_counter() - start, 2), **memory.peak}
    return outcome


def parts_of(task: Task) -> tuple[RankingData, RankingModule]:
    """The data module and the training module of a cell, freshly seeded."""
    import pytorch_lightning as pl

    from ltr.expressions import value_of
    from ltr.training import RankingModule

    quieten()
    pl.seed_everything(task.seed, verbose=False)
    assert task.scorer is not None
    assert task.loss is not None
    data = build("data", task.data, **_seed(task), **_tokenizer(task))
    scorer = build("scorers", task.scorer)
    data.apart = scorer.apart
    loss = value_of(task.loss, None, data.labels_to_focus)
    return data, RankingModule(scorer, loss, measures=task.measures, **task.model)


def _checked(task: Task) -> Contents:
    """What the cell is made of here. Raises DataError where that is not what the benchmark began with."""
    held = task.contents or {}
    # modules of one's own are imported at the start, and stay as they were then
    present = contents(task.data, task.scorer or task.ranker) | {k: v for k, v in held.items() if k.startswith(CODE)}
    different = changed(task.contents, present) if task.contents is not None else []
    if different:
        raise DataError(
            f"{', '.join(different)}: other content than when the benchmark was started; files must stay as they are while "
            "it runs, and be the same wherever cells run; start it again"
        )
    return present


def _trained(task: Task) -> Outcome:
    import pytorch_lightning as pl

    from ltr.experiments.cells.keeping import KeepBest
    from ltr.expressions import text_of

    data, module = parts_of(task)
    keep = KeepBest(task.monitor, task.larger, task.patience)
    trainer = pl.Trainer(**{**TRAINER, **task.trainer}, callbacks=[keep])
    data.prepare_data()
    start = time.perf_counter()
    trainer.fit(module, datamodule=data)
    seconds = time.perf_counter() - start
    if not keep.rows:
        raise ConfigError("no validation took place, so no epoch could be chosen; let training reach an epoch's end")
    if keep.value is None:
        raise ConfigError(
            f"dev/{task.monitor} was never a number: no epoch could be chosen; look at the loss and its scale"
        )
    record = {
        "status": "finished",
        "value": keep.value,
        "step": keep.step,
        "steps": trainer.global_step,
        "seconds": round(seconds, 2),
        "loss": text_of(module.loss, explicit=True),
    }
    outcome = Outcome(record, {"course.json": _course(keep.rows)})
    if task.test:
        keep.restore(module.scorer)
        trainer.test(module, datamodule=data, verbose=False)
        _attach(outcome, data, module.truths["test"], module.predictions)
    return outcome


def _outside(task: Task) -> Outcome:
    assert task.ranker is not None
    data = build("data", task.data, **_seed(task))
    data.prepare_data()
    data.setup("fit")
    ranker = build("rankers", task.ranker)
    start = time.perf_counter()
    ranker.fit(data, task.monitor, task.seed)
    record = {"status": "finished", "value": ranker.best_value, "seconds": round(time.perf_counter() - start, 2)}
    outcome = Outcome(record, {"course.json": _course(ranker.course)})
    if task.test:
        data.setup("test")
        whole = data.whole("test")
        known = data.part("test").labels
        lists = truth_of(
            "test", whole.query_ids, whole.list_offsets.numpy(), whole.doc_ids, whole.labels.numpy(), known
        )
        _attach(outcome, data, lists, ranker.predict(data, "test"))
    return outcome


def _attach(outcome: Outcome, data: RankingData, lists: LabelledLists, scores: np.ndarray) -> None:
    """Add the test part and its scores, both in the truth's order."""
    truth, order = Truth.of(data, lists)
    buffer = io.BytesIO()
    np.save(buffer, np.asarray(scores)[order].astype(np.float32), allow_pickle=False)
    outcome.files["scores.npy"] = buffer.getvalue()
    outcome.truth = truth
    outcome.record["truth"] = truth.signature


def _course(rows: Iterable[dict[str, Any]]) -> bytes:
    return json.dumps(list(rows)).encode()


def _seed(task: Task) -> Config:
    """The seed of order and negatives, for data that take one."""
    return {"seed": task.seed} if takes("data", task.data, "seed") else {}


def _tokenizer(task: Task) -> Config:
    """The tokenizer is the model's, unless the data name their own."""
    model = ((task.scorer or {}).get("init_args") or {}).get("model")
    own = (task.data.get("init_args") or {}).get("tokenizer")
    if own or not takes("data", task.data, "tokenizer"):
        return {}
    if not model and task.scorer is not None:
        raise ConfigError(
            f"{task.data['class_path']} are texts, which {task.scorer['class_path']} does not read: it names no model; give a "
            "scorer such as CrossEncoder, and data of numbers a specification of their own"
        )
    return {"tokenizer": model} if model else {}


def as_values(task: Task) -> Config:
    """The task's settings as plain values, for manifests and signatures; what its data hold stands apart."""
    return {name: value for name, value in asdict(task).items() if name != "contents"}
