"""The models that are served: by name, loaded and warmed up beside those that serve, and then exchanged at once."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ltr.data.preferences.reader import PromptReader
from ltr.data.tokens.reader import TextEncoder
from ltr.errors import ConfigError
from ltr.inference.probability import Probability, probability_of
from ltr.inference.reranker import Reranker
from ltr.io.names import suggestion
from ltr.machine.freed_memory import hand_back
from ltr.scorers.base import Scorer
from ltr.serving.problems import Problem
from ltr.serving.work.reading import PromptReading, Reading
from ltr.settings import ModelSettings

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Model:
    """A model ready to serve.

    Attributes:
        name: that clients call it by.
        folder: or hub id that it came from.
        scorers: one for each worker's device.
        settings: it was saved with.
        reading: makes tokens of requests.
        probability: makes [0, 1] of its scores.
        precision: that it computes in.
        created: seconds since 1970 when it was loaded.
    """

    name: str
    folder: str
    scorers: tuple[Scorer, ...]
    settings: ModelSettings
    reading: Reading | PromptReading
    probability: Probability
    precision: str
    created: int = field(default_factory=lambda: int(time.time()))

    @classmethod
    def of(cls, name: str, folder: str, rerankers: Sequence[Reranker]) -> Model:
        """From the same model opened on each device.

        Raises:
            ConfigError: a model that does not read query and document together.
        """
        first = rerankers[0]
        if isinstance(first.reader, PromptReader):
            reading: Reading | PromptReading = PromptReading(first.reader)
        elif isinstance(first.reader, TextEncoder):
            reading = Reading(first.reader)
        else:
            raise ConfigError(
                f"serve: {folder} holds {type(first.scorer).__name__}, which does not read query and document together by "
                "ltr's TextEncoder; serve a cross-encoder"
            )
        scorers = tuple(reranker.scorer for reranker in rerankers)
        probability = probability_of(first.settings)
        if first.settings.interpolation is not None and first.settings.interpolated_with:
            log.info(
                "%s: interpolate true mixes at the weight %.2f, chosen for first_scores of %s; others want a number of their own",
                *(name, first.settings.interpolation, first.settings.interpolated_with),
            )
        return cls(name, folder, scorers, first.settings, reading, probability, first.precision)

    @property
    def device(self) -> str:
        """``cpu`` or ``cuda``."""
        return next(self.scorers[0].parameters()).device.type


class Models:
    """All models that are served.

    Args:
        folders: name -> folder; clients can call nothing else.
        opened: opens a folder on every device that is computed on.
        warmed: computes something with a model, so that its first clients wait for nothing but their own.

    Raises:
        ConfigError: no model.
    """

    def __init__(
        self,
        folders: Mapping[str, str],
        opened: Callable[[str], Sequence[Reranker]],
        warmed: Callable[[Model], None] = lambda model: None,
    ):
        if not folders:
            raise ConfigError("serve: give at least one model: --model runs/demo/best")
        self.folders, self._opened, self._warmed = dict(folders), opened, warmed
        self._held: dict[str, Model] = {}

    @property
    def held(self) -> Mapping[str, Model]:
        """Those that serve now; empty until the first ``load`` is through."""
        return self._held

    def load(self) -> None:
        """Open and warm up all of them anew, beside those that serve, and let them take their place all at once.

        Raises:
            LtrError: one cannot be opened; those that served before go on.
        """
        made: dict[str, Model] = {}
        for name, folder in self.folders.items():
            made[name] = Model.of(name, folder, self._opened(folder))
            self._warmed(made[name])
        self._held = made
        hand_back()

    def get(self, name: str | None) -> Model:
        """The model of a name; where there is one alone, it answers to every name.

        Raises:
            Problem: no model yet, or none of that name.
        """
        held = self._held
        if not held:
            raise Problem("unready", "the models are not loaded yet; try again in some seconds", retry_after=2)
        if len(held) == 1:
            return next(iter(held.values()))
        if name is None:
            raise Problem("model", f"say by model which one shall answer: {', '.join(held)}", "model")
        if name not in held:
            raise Problem(
                "model", f"no such model is served; {suggestion(name[:100], held)}; all: {', '.join(held)}", "model"
            )
        return held[name]


def folders_of(given: Sequence[str]) -> dict[str, str]:
    """name -> folder of what ``--model`` was given: ``name=runs/demo/best``, or ``runs/demo/best``, then called ``demo/best``.

    Raises:
        ConfigError: two models of one name, or an empty name or folder.
    """
    found: dict[str, str] = {}
    for text in given:
        before, equals, after = text.partition("=")
        name, folder = (before, after) if equals and not Path(text).exists() else ("/".join(_last(text)), text)
        if not name or not folder:
            raise ConfigError(f"--model must be a folder or name=folder, got {text!r}")
        if name in found:
            raise ConfigError(
                f"--model: two models are called {name}: {found[name]} and {folder}; give one of them another name, as in "
                f"--model {name}={found[name]} other={folder}"
            )
        found[name] = folder
    return found


def _last(folder: str) -> tuple[str, ...]:
    """The last two parts of a path: clients need not know where models lie on this machine."""
    return tuple(part for part in Path(folder).parts if part not in ("/", ".", ".."))[-2:]
