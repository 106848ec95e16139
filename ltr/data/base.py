"""What training, benchmarks and rankers ask of data: the contract of a data module."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pytorch_lightning as pl

from ltr.batch import FeatureLists, Lists, TextLists, TwinLists
from ltr.errors import ConfigError
from ltr.io.caching.keys import key_of
from ltr.io.labelled import LabelledLists
from ltr.io.trec import Qrels, Run
from ltr.settings import FeatureSettings, ModelSettings, Prompts, Settings, TwinSettings

PartName = Literal["train", "dev", "test"]
#: the method of a data module that gives the batches of a part
LOADERS: dict[PartName, str] = {"train": "train_dataloader", "dev": "val_dataloader", "test": "test_dataloader"}
#: settings whose text says all about them
PLAIN = (str, int, float, bool, list, tuple, dict)


@dataclass(frozen=True, eq=False)
class Part:
    """What dev or test is, beside its batches.

    Attributes:
        query_ids: the order of its lists, whatever batches they come in; None for the order of the batches.
        qrels: judgements; None where labels are real values, so that only measures of labels apply.
        first: the candidates as a first stage ranked them; None where there is none.
        labels: labels in full precision, as they were read; None where the batches' own are all that is known.
    """

    query_ids: Sequence[str] | None = None
    qrels: Qrels | None = None
    first: Run | None = None
    labels: LabelledLists | None = None


class RankingData(pl.LightningDataModule):
    """Lists of documents to train, validate and test a scorer on.

    A data module of your own derives from this and defines the loaders of the parts that it has (Lightning's
    ``train_dataloader``, ``val_dataloader``, ``test_dataloader``), whose batches are ``ltr.batch.Lists`` with labels. What
    else it defines is used: ``part`` (judgements, a first stage), ``inputs`` (what scorers must know), ``signature``.

    Args:
        train: name of what is trained on, for people; None for no such part.
        dev: name of what is validated on, likewise.
        test: name of what is tested on, likewise.
    """

    def __init__(self, train: str | None = None, dev: str | None = None, test: str | None = None):
        super().__init__()
        self.train, self.dev, self.test = train, dev, test
        self._prompts: tuple[Prompts | None] | None = None

    # ------------------------------------------------------------------ what a data module says of itself

    def part(self, name: PartName) -> Part:
        """What is known of dev or test beside its batches. Default: nothing."""
        return Part()

    @property
    def inputs(self) -> Settings:
        """How batches are made: told to the scorer before training, and saved with it. Default: looks at a batch."""
        name: PartName = self.named[0] if self.named else "dev"
        loader = getattr(self, LOADERS[name])()
        if isinstance(loader, Iterator):
            raise ConfigError(
                f"data: {name} is a {type(loader).__name__}, which can be read once only; give a DataLoader with "
                "batch_size=None"
            )
        batch = next(iter(loader), None)
        if batch is None:
            raise ConfigError(f"data: there is no batch of {name}")
        return inputs_of(batch, self.trained_on)

    @property
    def signature(self) -> str:
        """16 hexadecimal digits that change whenever data or their settings do. Default: of the names of the parts, and of what
        the constructor takes and keeps under the same name."""
        taken = [name for name in inspect.signature(type(self).__init__).parameters if name != "self"]
        kept = {name: repr(vars(self)[name]) for name in taken if isinstance(vars(self).get(name), PLAIN)}
        facts = [type(self).__qualname__, self.train, self.dev, self.test, kept]
        return key_of(json.dumps(facts))

    @property
    def trained_on(self) -> tuple[str, ...]:
        """Names of what training uses."""
        return () if self.train is None else (self.train,)

    @property
    def train_labels(self) -> np.ndarray | None:
        """[documents] what is learnt, of the training documents; None without a train part, or where it is not known."""
        return None

    @property
    def mean_label(self) -> float | None:
        """The mean of what is learnt over the training documents, a yardstick for predictions; None if not known."""
        return None if (labels := self.train_labels) is None else float(labels.mean(dtype=np.float64))

    @property
    def back(self) -> Callable[[np.ndarray], np.ndarray] | None:
        """Turns predictions into the unit of the labels as they were read; None where they are in that unit."""
        return None

    def describe(self) -> str:
        """What the data are, a line for each part: to be read before training starts. Default: their names."""
        return "\n".join(f"{name + ':':<6} {getattr(self, name)}" for name in self.named)

    # ------------------------------------------------------------------ what all of them share

    def labels_to_focus(self) -> np.ndarray:
        """[documents] ``train_labels``, for a link that takes its range from them. Raises ConfigError where there are none."""
        labels = self.train_labels
        if labels is None:
            raise ConfigError(
                f"{type(self).__name__}: focus(top=...) takes its range from the labels of train, and there is no train part, "
                "or these data do not tell them (train_labels); give range=(low, high)"
            )
        return labels

    @property
    def named(self) -> tuple[PartName, ...]:
        """The parts that there are."""
        parts: tuple[PartName, ...] = ("train", "dev", "test")
        return tuple(name for name in parts if getattr(self, name) is not None)

    def needed(self, stage: str | None) -> tuple[PartName, ...]:
        """The parts that a stage of Lightning (fit, validate, test; None for all) reads."""
        wanted = {"fit": ("train", "dev"), "validate": ("dev",), "test": ("test",)}.get(stage or "", self.named)
        return tuple(name for name in self.named if name in wanted)

    @property
    def apart(self) -> Prompts | None:
        """What the scorer puts before queries and documents that it reads apart; None where it reads them together.

        As it was set, else as the scorer says that a trainer trains on these data.
        """
        if self._prompts is not None:
            return self._prompts[0]
        module = getattr(self.trainer, "lightning_module", None)
        scorer = getattr(module, "scorer", None)  # what is trained may be anybody's module
        return None if scorer is None else scorer.apart

    @apart.setter
    def apart(self, prompts: Prompts | None) -> None:
        self._prompts = (prompts,)

    @property
    def place(self) -> tuple[int, int]:
        """(number of this process, number of processes)."""
        return (self.trainer.global_rank, self.trainer.world_size) if self.trainer is not None else (0, 1)

    @property
    def epoch(self) -> int:
        """The current epoch: a training that resumes asks for its loader when it is known already."""
        return self.trainer.current_epoch if self.trainer is not None else 0

    @property
    def batches_done(self) -> int:
        """Batches of the current epoch that training has finished, when it resumes."""
        return self.trainer.fit_loop.epoch_loop.batch_progress.current.completed if self.trainer is not None else 0


def inputs_of(batch: object, trained_on: tuple[str, ...] = ()) -> Settings:
    """What a batch says of how it was made.

    Raises:
        ConfigError: it is no batch of lists.
    """
    if not isinstance(batch, Lists):
        raise ConfigError(
            f"data: batches must be ltr.batch.Lists (TextLists, FeatureLists, ...) with labels, got {type(batch).__name__}; "
            "make them with FeatureLists.of(features, list_offsets, labels)"
        )
    if isinstance(batch, FeatureLists):
        return FeatureSettings(n_features=batch.n_features, trained_on=trained_on)
    kinds: dict[type[Lists], type[Settings]] = {TextLists: ModelSettings, TwinLists: TwinSettings}
    return kinds.get(type(batch), Settings)(trained_on=trained_on)
