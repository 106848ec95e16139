"""The specification of a benchmark: data sets x scorers x losses x seeds, and how each loss is tuned."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, field
from typing import Any

import yaml

from ltr.experiments.spec.search import Range
from ltr.expressions import is_expression, packages_in

Config = dict[str, Any]

_PLACEHOLDER = re.compile(r"\{(\w+)\}")
#: settings of RankingModule that a search may name besides the placeholders of a loss
MODEL = ("lr", "head_lr", "weight_decay", "warmup")
#: paired tests against the baseline
TESTS = ("fisher", "student")


@dataclass(frozen=True)
class LossSpec:
    """A loss and what is tuned of it.

    Args:
        loss: the expression, with ``{name}`` where a value of ``search`` belongs.
        search: a range for each placeholder, or for ``lr``, ``weight_decay``, ``warmup``: then it takes the place of the
            one that all losses share.
        model: settings of the training module for this loss alone.
        data: init arguments of every data module for this loss alone, such as labels without standardisation for a loss
            that takes no negative ones.
        family: losses of one family are joined by a line in the trade-off picture (such as widths of one link).
    """

    loss: str
    search: dict[str, Range] = field(default_factory=dict)
    model: Config = field(default_factory=dict)
    data: Config = field(default_factory=dict)
    family: str | None = None

    @property
    def placeholders(self) -> list[str]:
        return list(dict.fromkeys(_PLACEHOLDER.findall(self.loss)))

    def data_of(self, config: Config) -> Config:
        """A data module's config with what this loss changes of it."""
        return {**config, "init_args": {**(config.get("init_args") or {}), **self.data}} if self.data else config

    def filled(self, params: Config) -> str:
        """The expression with values in place of its placeholders; a value may be an expression itself."""

        def value(match: re.Match) -> str:
            one = params[match[1]]
            return f"({one})" if isinstance(one, str) and is_expression(one) else repr(one)

        return _PLACEHOLDER.sub(value, self.loss)

    @property
    def packages(self) -> set[str]:
        """The packages of classes of one's own that the expression names, or a choice of its search."""
        choices = [one for space in self.search.values() for one in space.choices]
        texts = [self.loss, *(one for one in choices if isinstance(one, str) and is_expression(one))]
        return {package for text in texts for package in packages_in(text)}


@dataclass(frozen=True)
class Tuning:
    """How every loss is tuned: the same number of trials for each, judged on dev.

    Args:
        trials: trainings for each data set, scorer and loss; 1 takes the defaults.
        search: what is tuned for every loss.
        seed: of the trials' trainings and of the sampler; not one of the benchmark's seeds.
    """

    trials: int = 1
    search: dict[str, Range] = field(default_factory=dict)
    seed: int = 1000


@dataclass(frozen=True)
class Spec:
    """A whole benchmark.

    Args:
        name: of the benchmark; its folder is ``runs/benchmarks/NAME`` unless ``folder`` says otherwise.
        data: name -> data module (``class_path``, ``init_args``, or an expression such as ``TextData(...)``) with train,
            dev and test. ``${NAME}`` in a text stands for the environment's value where a cell runs: specs and manifests
            need not name a machine's folders.
        scorers: name -> scorer, likewise.
        losses: name -> an expression such as ``ListNet()`` or ``class_path`` and ``init_args``, or ``loss:`` with one of
            these and ``search:``.
        rankers: name -> a ranker from outside, trained whole: ``class_path``, ``init_args``, ``search`` of its arguments.
        seeds: of the trainings that count; a number n stands for 0 to n - 1.
        tuning: trials and what all losses tune.
        model: settings of the training module (``lr``, ``schedule`` ...); ``head_lr: 10x`` is ten times ``lr``.
        trainer: settings of Lightning's trainer (``max_epochs``, ``precision`` ...).
        monitor: the dev measure that chooses epochs and trials.
        patience: validations without a better value after which a training stops; null trains to its end.
        measures: what the test part is measured with.
        baseline: the loss that the others are compared with.
        tests: paired tests, ``fisher`` and ``student``.
        tradeoff: two measures, inside and outside the focus region, for the trade-off picture.
        threads: computing threads of a cell; not more cells run at a time than cores allow, and figures do not depend on how
            many do.
        allow_overlap: train although dev or test share queries with train; it is told then, and not refused.
        folder: where cells and results go.

    Raises:
        ConfigError: with file and line, for whatever cannot work.
    """

    name: str
    data: dict[str, Config]
    scorers: dict[str, Config]
    losses: dict[str, LossSpec]
    measures: list[str]
    baseline: str
    rankers: dict[str, Config] = field(default_factory=dict)
    seeds: list[int] = field(default_factory=lambda: [0, 1, 2])
    tuning: Tuning = field(default_factory=Tuning)
    model: Config = field(default_factory=dict)
    trainer: Config = field(default_factory=dict)
    monitor: str = "ndcg@10"
    patience: int | None = None
    tests: list[str] = field(default_factory=lambda: ["fisher"])
    tradeoff: list[str] = field(default_factory=list)
    threads: int = 1
    allow_overlap: bool = False
    folder: str = ""

    def yaml(self, folder: bool = True) -> str:
        """The whole spec, no default left implicit.

        Args:
            folder: whether to name the folder; a copy that lies in it need not.
        """
        values = asdict(self)
        if not folder:
            del values["folder"]
        for loss in values["losses"].values():
            loss["search"] = _plain(loss["search"])
        values["tuning"]["search"] = _plain(values["tuning"]["search"])
        return yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=120)

    def space(self, loss: str) -> dict[str, Range]:
        """What is tuned of a loss: what all share, and what is its own."""
        return {**self.tuning.search, **self.losses[loss].search}


def _plain(space: dict[str, Config]) -> dict[str, Config]:
    """Ranges as one writes them."""
    kept = {}
    for name, one in space.items():
        kept[name] = {
            k: list(v) if k == "choices" else v for k, v in one.items() if v is not None and v is not False and v != ()
        }
    return kept


def folder_name(name: str) -> str:
    """A name as part of a path: letters, digits, dot, hyphen, the rest as ``_``; case does not tell folders apart.

    >>> folder_name("Sigmoid (center 2)")
    'sigmoid_center_2'
    """
    return re.sub(r"[^A-Za-z0-9.-]+", "_", name).strip("_.").lower() or "_"
