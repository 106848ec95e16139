"""Which cells a benchmark consists of, and which can run now."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ltr.errors import ConfigError
from ltr.experiments.cells.cell import Task
from ltr.experiments.cells.store import Done, Store
from ltr.experiments.contents import Contents
from ltr.experiments.spec import search
from ltr.experiments.spec.search import Params, Range
from ltr.experiments.spec.spec import MODEL, LossSpec, Spec
from ltr.metrics.measures.measure import parse


@dataclass
class Group:
    """The cells of one data set, scorer and loss: trials one after the other, then the seeds.

    Attributes:
        data_name, scorer_name, loss_name: names in the spec; a ranker from outside is its own scorer.
        trials: trial number -> cell, as far as they are done.
        seeds: seed -> cell, likewise.
        contents: what the data and the scorer's model hold now; None where that cannot be read here.
        stale: finished cells whose data held something else, or nobody knows what.
    """

    spec: Spec
    data_name: str
    scorer_name: str
    loss_name: str
    trials: dict[int, Done] = field(default_factory=dict)
    seeds: dict[int, Done] = field(default_factory=dict)
    running: set[str] = field(default_factory=set)
    contents: Contents | None = None
    stale: list[Done] = field(default_factory=list)

    @property
    def outside(self) -> bool:
        return self.loss_name in self.spec.rankers

    @property
    def plain(self) -> bool:
        """Whether the data are as the spec has them, not changed by the loss."""
        return self.outside or not self.spec.losses[self.loss_name].data

    @property
    def named(self) -> list[Any]:
        """What the spec says of its data, scorer, loss or ranker, which may name classes of one's own."""
        if self.outside:
            return [self.spec.data[self.data_name], self.spec.rankers[self.loss_name]]
        loss = self.spec.losses[self.loss_name]
        choices = [one for space in loss.search.values() for one in space.choices]
        return [self.spec.data[self.data_name], self.spec.scorers[self.scorer_name], loss.loss, loss.data, choices]

    @property
    def title(self) -> str:
        return " · ".join(dict.fromkeys([self.data_name, self.scorer_name, self.loss_name]))

    @property
    def system(self) -> str:
        """Name in tables: the loss, and the scorer where there are several."""
        return (
            self.loss_name if self.outside or len(self.spec.scorers) == 1 else f"{self.loss_name} · {self.scorer_name}"
        )

    @property
    def space(self) -> dict[str, Range]:
        if not self.outside:
            return self.spec.space(self.loss_name)
        given = self.spec.rankers[self.loss_name].get("search") or {}
        return {name: Range(**one) for name, one in given.items()}

    @property
    def n_trials(self) -> int:
        """Trials before the seeds: none where there is nothing to choose."""
        return self.spec.tuning.trials if self.spec.tuning.trials > 1 and self.space else 0

    @property
    def n_cells(self) -> int:
        return self.n_trials + len(self.spec.seeds)

    @property
    def cells(self) -> list[Done]:
        return [*self.trials.values(), *self.seeds.values()]

    @property
    def history(self) -> list[tuple[Params, float | None]]:
        return [(self.trials[i].record["params"], self.trials[i].value) for i in range(len(self.trials))]

    @property
    def chosen(self) -> Params | None:
        """The settings of the best trial; None while trials are missing, or when all failed."""
        if not self.n_trials:
            return search.starting(self.space)
        if len(self.trials) < self.n_trials:
            return None
        number = search.best(self.history, larger(self.spec))
        return None if number is None else self.trials[number].record["params"]

    @property
    def hopeless(self) -> bool:
        """Whether all trials failed, so that no seed can run."""
        return len(self.trials) == self.n_trials > 0 and self.chosen is None

    def load(self, store: Store, stale: bool = False, failed: bool = False) -> None:
        """Take in what is finished already.

        Args:
            store: where cells lie.
            stale: take in cells of other data too.
            failed: take in failed cells; otherwise they are forgotten, to be tried again.
        """
        self.trials, self.seeds = {}, {}
        self.stale = [
            done
            for task in self._places()
            if (done := store.held(task)) is not None and done.finished and store.is_stale(done, task)
        ]
        for number in range(self.n_trials):
            params = search.suggest(self.space, self.history, self.n_trials, larger(self.spec), self.spec.tuning.seed)
            done = store.find(self._trial(number, params), stale)
            if done is None or not (done.finished or failed):
                return
            self.trials[number] = done
        chosen = self.chosen
        if chosen is None:
            return
        for seed in self.spec.seeds:
            done = store.find(self._seed(seed, chosen), stale)
            if done is not None and (done.finished or failed):
                self.seeds[seed] = done

    def adopt(self, store: Store) -> None:
        """Note of cells that are trusted, of which nobody knew what their data held, that they are made of today's."""
        for task in self._places():
            done = store.held(task)
            if done is not None and done.finished and done.contents is None and self.contents is not None:
                store.adopt(done, self.contents)

    def ready(self) -> Iterator[Task]:
        """Cells that can run now."""
        if len(self.trials) < self.n_trials:
            if not self.running:
                params = search.suggest(
                    self.space, self.history, self.n_trials, larger(self.spec), self.spec.tuning.seed
                )
                yield self._trial(len(self.trials), params)
            return
        chosen = self.chosen
        if chosen is None:
            return
        for seed in self.spec.seeds:
            if seed not in self.seeds and f"seed-{seed}" not in self.running:
                yield self._seed(seed, chosen)

    def done(self, task: Task, cell: Done) -> None:
        """Take in a cell that has just ended, well or not."""
        self.running.discard(task.run)
        kind, _, number = task.run.partition("-")
        (self.trials if kind == "trial" else self.seeds)[int(number)] = cell

    def example(self) -> Task:
        """A cell with the settings of the first trial, to estimate times with."""
        return self._seed(self.spec.seeds[0], search.starting(self.space))

    def final(self) -> Task:
        """A cell with the chosen settings, of the first seed."""
        assert self.chosen is not None
        return self._seed(self.spec.seeds[0], self.chosen)

    def _places(self) -> Iterator[Task]:
        """All cells, by where they lie: what their trials choose is not known yet."""
        params = search.starting(self.space)
        yield from (self._trial(number, params) for number in range(self.n_trials))
        yield from (self._seed(seed, params) for seed in self.spec.seeds)

    def _trial(self, number: int, params: Params) -> Task:
        return self._task(f"trial-{number}", params, self.spec.tuning.seed, test=False)

    def _seed(self, seed: int, params: Params) -> Task:
        return self._task(f"seed-{seed}", params, seed, test=True)

    def _task(self, run: str, params: Params, seed: int, test: bool) -> Task:
        spec = self.spec
        common: dict[str, Any] = {
            "data_name": self.data_name, "scorer_name": self.scorer_name, "loss_name": self.loss_name, "run": run,
            "data": spec.data[self.data_name], "seed": seed, "monitor": spec.monitor, "larger": larger(spec),
            "measures": dev_measures(spec), "params": params, "test": test,
            "contents": self.contents,
        }  # fmt: skip
        if self.outside:
            config = {k: v for k, v in spec.rankers[self.loss_name].items() if k != "search"}
            return Task(**common, ranker={**config, "init_args": {**(config.get("init_args") or {}), **params}})
        loss = spec.losses[self.loss_name]
        common["data"] = loss.data_of(common["data"])
        return Task(
            **common, scorer=spec.scorers[self.scorer_name], loss=loss.filled(params),
            model=model_settings(spec, loss, params), trainer=spec.trainer, patience=spec.patience,
        )  # fmt: skip


def groups(spec: Spec) -> list[Group]:
    """All groups of a benchmark, data set by data set."""
    groups = []
    for data in spec.data:
        groups += [Group(spec, data, scorer, loss) for scorer in spec.scorers for loss in spec.losses]
        groups += [Group(spec, data, ranker, ranker) for ranker in spec.rankers]
    return groups


def model_settings(spec: Spec, loss: LossSpec, params: Params) -> dict[str, Any]:
    """Settings of the training module: the spec's, the loss's own, what the trial chose; ``10x`` is ten times ``lr``.

    Raises:
        ConfigError: a multiple of a rate that is not given.
    """
    settings = {**spec.model, **loss.model, **{k: v for k, v in params.items() if k in MODEL}}
    rate = settings.get("head_lr")
    if isinstance(rate, str):
        if "lr" not in settings:
            raise ConfigError(
                f"model.head_lr {rate} is a multiple of lr, and there is none; give model.lr, or search it"
            )
        settings["head_lr"] = float(rate.rstrip("x")) * settings["lr"]
    return settings


def dev_measures(spec: Spec) -> list[str]:
    """What dev is measured with: the monitor, and the measures of its sort (dev may have labels where test is judged)."""
    sort = type(parse(spec.monitor))
    return list(dict.fromkeys([spec.monitor, *(m for m in spec.measures if type(parse(m)) is sort)]))


def larger(spec: Spec) -> bool:
    """Whether a larger value of the monitored measure is better."""
    return parse(spec.monitor).larger_is_better
