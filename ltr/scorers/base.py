"""What every scorer is and can do: the contract between scorers, training and inference."""

from __future__ import annotations

import copy
import inspect
import json
import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_model, save_model
from torch import Tensor, nn

from ltr.batch import Lists, TextLists
from ltr.data.preferences.reader import reader_of
from ltr.data.tokens.reader import Reader
from ltr.errors import ConfigError, DataError
from ltr.io.files import building, existing
from ltr.losses.base import LogRatios
from ltr.scorers.filing import Filing
from ltr.scorers.hardware import multiplies_bf16
from ltr.settings import ModelSettings, Prompts, Settings

#: the weights of a saved model
WEIGHTS = "model.safetensors"
#: what a tokenizer gives as its limit where it has none is far above this
UNLIMITED = 10**6
#: tokens that are read at once by a model that names no limit of its own
USUAL_LENGTH = 512
#: in place of an argument that a scorer does not keep
MISSING = object()

Own = TypeVar("Own", bound="Scorer")


class Scorer(nn.Module):
    """Gives every document of a batch a score: raw (no activation), float32, larger is better.

    A scorer of your own defines ``forward`` and keeps what its constructor takes under the same names; then it trains,
    saves, opens and scores like those of ltr. What else it defines makes it better: ``parts`` gives the head a learning
    rate of its own, ``fit_to`` prepares it for its data, ``fewer_tokens`` and ``spare`` let it live with little memory.
    Scorers of texts derive from ``ltr.scorers.TextScorer``, scorers of numbers from ``ltr.scorers.FeatureScorer``.

    Threads may score at once with one scorer: nothing in it changes while it scores.

    Shape:
        ``scorer(batch)`` returns [lists, docs]; places without a document (``~batch.mask``) hold 0. A scorer that computes
        a value for each row of the batch returns ``batch.scores(values)``.
    """

    #: the kind of batches that it reads
    takes: ClassVar[type[Lists]] = Lists
    #: whether a saved model is opened with ``arguments``; False where ``save`` and ``load`` are defined in another way
    saves_arguments: ClassVar[bool] = True
    #: how its settings are read beside a saved model
    settings_type: ClassVar[type[Settings]] = Settings
    #: how a model hub files a saved model
    filing: ClassVar[Filing] = Filing()

    def forward(self, batch: Any) -> Tensor:
        raise NotImplementedError(f"{type(self).__name__} must define forward(batch) -> scores [lists, docs]")

    # ------------------------------------------------------------------ training

    def parts(self) -> dict[str, list[nn.Parameter]]:
        """Trainable parameters by part, for learning rates of their own; a part may be empty."""
        return {"encoder": [], "head": [p for p in self.parameters() if p.requires_grad]}

    def fit_to(self, settings: Settings) -> None:
        """Get ready for data, before the optimiser is made. Default: checks that they give the batches that it reads.

        Args:
            settings: how the data make their batches.

        Raises:
            ConfigError: data that it cannot read.
        """
        if not issubclass(settings.batch, self.takes):
            raise ConfigError(
                f"{type(self).__name__}: reads batches of {self.takes.__name__}, and the data give "
                f"{settings.batch.__name__}; {_advice(settings.batch)}"
            )

    @property
    def deals(self) -> bool:
        """Whether it deals training batches to threads: then the rest of a step need not wait for torch's. Default: no."""
        return False

    def observed(self, batch: Any, scores: Tensor) -> dict[str, Tensor]:
        """What is worth logging of a training batch and its scores, beside its cost: names and scalars. Default: nothing."""
        return {}

    def before_epoch(self, batches: Iterable[Lists]) -> None:
        """Get ready for the batches of an epoch, before the first of them. Default: does not look at them.

        Args:
            batches: those that will be trained on, and those of dev, on the scorer's device.
        """

    def trained_scores(self, batch: Any) -> Sequence[Tensor]:
        """Scores of a training batch, over which its cost is the mean: those of ``forward`` alone, by default."""
        return [self(batch)]

    def spare(self, retries: int = 0) -> bool:
        """Need less memory for training from now on, and say so; False where nothing is left to spare.

        Args:
            retries: how often the batch at hand has failed before.
        """
        return False

    # ------------------------------------------------------------------ scoring

    def for_scoring(self, device: torch.device, precision: str | None) -> Scorer:
        """The scorer on a device and in a precision, made for scoring; a copy where it is not there already.

        Default: float32 stays float32, whatever precision is asked for.

        Args:
            device: where.
            precision: ``32``, ``bf16``, ``auto`` (bf16 where the hardware multiplies it), or None for as it is.
        """
        held = next((p.device for p in self.parameters()), device)
        same = held.type == device.type and device.index in (None, held.index)
        return self if same else copy.deepcopy(self).to(device)

    @property
    def computes_in(self) -> str:
        """The precision that most of it computes in, such as ``float32`` or ``bfloat16``."""
        held = next(self.parameters(), None)
        return "float32" if held is None else str(held.dtype).removeprefix("torch.")

    def fewer_tokens(self, tokens: int | None = None) -> int | None:
        """How many tokens to compute at once when memory does not hold ``tokens``; None where fewer would not help.

        A scorer that gives numbers takes them as a second argument of ``forward``. It stays as it is.

        Args:
            tokens: what was tried; None for what the scorer takes by itself.
        """
        return None

    def reader(self, settings: Settings) -> Reader:
        """What turns texts into its batches. Raises ConfigError for a scorer that reads no texts."""
        raise ConfigError(
            f"{type(self).__name__}: reads no texts; derive it from ltr.scorers.TextScorer, or define reader(settings)"
        )

    @property
    def apart(self) -> Prompts | None:
        """What it puts before queries and documents that it reads apart; None where it reads them together."""
        return None

    # ------------------------------------------------------------------ saving and opening

    @property
    def saved(self) -> nn.Module:
        """The module whose weights stand in ``model.safetensors`` of a saved model."""
        return self

    @property
    def arguments(self) -> dict[str, Any]:
        """What the class was made with, for opening a saved model. Default: what the constructor takes, by name."""
        made = type(self)
        arguments: dict[str, Any] = {}
        if made.__init__ is nn.Module.__init__:  # it has no constructor of its own
            return {}
        for p in inspect.signature(made.__init__).parameters.values():
            if p.name == "self":
                continue
            if p.kind in (p.POSITIONAL_ONLY, p.VAR_POSITIONAL):
                raise ConfigError(
                    f"{made.__name__}: a saved model is made again with arguments by their names, and the constructor takes "
                    f"{p} by its place; give it a name that callers can use"
                )
            kept: Any = getattr(self, p.name, MISSING)
            several = p.kind is p.VAR_KEYWORD
            if kept is MISSING or (several and not isinstance(kept, Mapping)):
                raise ConfigError(
                    f"{made.__name__}: a saved model must know what it was made with: keep the argument {p.name} as "
                    f"self.{p.name}, or define the property arguments"
                )
            arguments.update(kept if several else {p.name: kept})
        return arguments

    @property
    def log_ratios(self) -> LogRatios | None:
        """What of a policy's the scores are, for losses that read log-probabilities. Default: None, scores are no such thing."""
        return None

    def check_saving(self) -> None:
        """Raise ConfigError where the scorer could not be saved and opened again: to be called before any training."""
        if not self.saves_arguments:
            return
        class_path(type(self))
        for name, value in self.arguments.items():
            try:
                again = json.loads(json.dumps(value, allow_nan=False))
            except (TypeError, ValueError) as error:
                raise ConfigError(
                    f"{type(self).__name__}: what it was made with cannot be written as JSON ({name}: {error}); take plain "
                    "values as arguments, or define the property arguments, or save and load"
                ) from error
            if again != _with_lists(value):
                raise ConfigError(
                    f"{type(self).__name__}: {name}={value!r} would come back from JSON as {again!r}; take texts as keys, or "
                    "define the property arguments, or save and load"
                )

    def check_fitted(self, before: Collection[str]) -> None:
        """Raise ConfigError where ``fit_to`` made weights that ``load`` would not make again.

        Args:
            before: names of the weights before ``fit_to``.
        """
        made = [name for name in self.state_dict() if name not in before]
        if made and self.saves_arguments and getattr(type(self).load, "__func__", None) is Scorer.load.__func__:  # type: ignore[attr-defined]
            raise ConfigError(
                f"{type(self).__name__}: fit_to makes {made[0]}, which a saved model could not be opened with; make it in "
                "__init__, derive the scorer from ltr.scorers.FeatureScorer, or define load"
            )

    def save(self, folder: str | os.PathLike, settings: Settings | None = None) -> None:
        """Save as a folder of ``model.safetensors`` and ``ltr.json``, which ``ltr.scorers.load_scorer`` opens.

        Written beside and renamed: an interruption leaves what was there.
        """
        made = replace(settings or Settings(), scorer=class_path(type(self)), arguments=self.arguments)
        with building(Path(folder)) as beside:
            save_model(self.saved, str(beside / WEIGHTS))
            made.write(beside)

    @classmethod
    def load(cls: type[Own], folder: str | os.PathLike) -> Own:
        """Open a model that ``save`` wrote, in evaluation mode; only weights are read, nothing in the folder runs.

        Raises:
            DataError: no such folder, or files that do not belong together.
        """
        settings = Settings.read(folder)
        return cls._opened(Path(folder), lambda: cls(**settings.arguments))

    def take_weights(self, folder: str | os.PathLike, device: torch.device | str = "cpu") -> None:
        """Take the weights of a folder that a scorer of its kind was saved to."""
        load_model(self.saved, Path(folder) / WEIGHTS, device=str(device))

    @staticmethod
    def _opened(folder: Path, make: Callable[[], Own]) -> Own:
        weights = existing(folder / WEIGHTS, f"{folder} is no saved model")
        try:
            scorer = make()
            load_model(scorer.saved, str(weights))
        except (TypeError, ConfigError, RuntimeError, SafetensorError) as error:
            reason = " ".join(str(error).split())[:200]
            raise DataError(f"{folder}: ltr.json and {WEIGHTS} do not belong together: {reason}") from error
        return scorer.eval()


class TextScorer(Scorer):
    """A scorer of texts that reads token ids of query and document together.

    One of your own defines ``tokenizer`` beside ``forward``.
    """

    takes: ClassVar[type[Lists]] = TextLists
    filing = Filing("Reranker of texts", "text-ranking", tags=("reranker",))
    settings_type: ClassVar[type[ModelSettings]] = ModelSettings
    #: folder or hub id that the model came from; empty for one without
    source: str = ""
    #: tokens that are read at once (of a document, where it is read alone) as the folder says that it came from; None where
    #: that does not say
    usual_length: int | None = None

    @property
    def tokenizer(self) -> Any:
        """The fast tokenizer (of transformers) whose ids it reads."""
        raise NotImplementedError(
            f"{type(self).__name__} must define tokenizer, such as ltr.data.load_tokenizer(folder)"
        )

    def _apply(self: Own, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Own:
        """As torch does, but frequencies of rotary positions stay in float32 where weights go to a lower precision.

        So transformers opens such models; a frequency that is rounded to bfloat16 is off by a turn within some hundred tokens.
        """
        exact = [
            (module, name, buffer)
            for module in self.modules()
            for name, buffer in module._buffers.items()
            if name.endswith("inv_freq") and buffer is not None and buffer.dtype == torch.float32
        ]
        super()._apply(fn, recurse)
        for module, name, buffer in exact:
            if (made := module._buffers[name]) is not None and made.dtype != buffer.dtype:
                module._buffers[name] = buffer.to(made.device)
        return self

    def fit_to(self, settings: Settings) -> None:
        super().fit_to(settings)
        if isinstance(settings, ModelSettings):
            self.check_length(settings.max_length)

    def reader(self, settings: Settings) -> Reader:
        assert isinstance(settings, ModelSettings)
        return reader_of(self.tokenizer, settings)

    @property
    def max_positions(self) -> int | None:
        """How many tokens query and document may have together; None where there is no bound."""
        return None

    def usual_settings(self, max_length: int | None = None) -> ModelSettings:
        """For a model from elsewhere: as long as its tokenizer and its positions say, else ``USUAL_LENGTH``.

        Args:
            max_length: tokens of query and document together where the user says so.
        """
        length = self.usual_tokens(self.usual_length) if max_length is None else max_length
        length = max(2, length)
        return ModelSettings(length, min(64, length // 2))

    def usual_tokens(self, said: int | None = None) -> int:
        """Tokens that are read at once, as the model's positions and ``said`` allow, where nothing is said its tokenizer."""
        limits = (self.tokenizer.model_max_length if said is None else said, self.max_positions)
        return min((n for n in limits if n is not None and n < UNLIMITED), default=USUAL_LENGTH)

    def check_length(self, max_length: int) -> None:
        """Raise ConfigError unless the model has positions for ``max_length`` tokens."""
        if self.max_positions is not None and max_length > self.max_positions:
            raise ConfigError(
                f"{type(self).__name__}: max_length can be {self.max_positions} at most, the model's positions; got "
                f"{max_length}"
            )


def half_or_single(device: torch.device, precision: str | None) -> torch.dtype:
    """The type that a precision means on a device."""
    bf16 = precision == "bf16" or (precision == "auto" and multiplies_bf16(device))
    return torch.bfloat16 if bf16 else torch.float32


def class_path(made: type) -> str:
    """The import path of a class: short for one of ``ltr.scorers``.

    Raises:
        ConfigError: a class that nobody can import: of a running script, or made inside a function or another class.
    """
    inside = "a function" if "<locals>" in made.__qualname__ else "another class"
    if made.__module__ == "__main__" or "." in made.__qualname__:
        raise ConfigError(
            f"{made.__name__}: a saved model names its class, so that it must stand in a module that can be imported, not in "
            f"{'a running script' if made.__module__ == '__main__' else inside}; move it to one"
        )
    return made.__name__ if made.__module__.startswith("ltr.scorers.") else f"{made.__module__}.{made.__qualname__}"


def _with_lists(value: Any) -> Any:
    """A value with lists in place of tuples, as JSON has them."""
    if isinstance(value, Mapping):
        return {key: _with_lists(one) for key, one in value.items()}
    return [_with_lists(one) for one in value] if isinstance(value, (list, tuple)) else value


def _advice(batch: type[Lists]) -> str:
    known = {
        "FeatureLists": "take ltr.scorers.MLPScorer, or derive the scorer from ltr.scorers.FeatureScorer",
        "TextLists": "take ltr.scorers.CrossEncoder, or derive the scorer from ltr.scorers.TextScorer",
    }
    return known.get(batch.__name__, "take a scorer and data that belong together")
