"""Scorers of documents that are described by numbers: what all share, the linear one, the multilayer perceptron."""

from __future__ import annotations

import inspect
import os
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from ltr.batch import FeatureLists, Lists
from ltr.errors import ConfigError, ShapeError
from ltr.scorers.base import Scorer
from ltr.scorers.filing import Filing
from ltr.settings import FeatureSettings, Settings

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
    "elu": nn.ELU,
}
Activation = Literal["relu", "gelu", "silu", "tanh", "elu"]

OwnFeatures = TypeVar("OwnFeatures", bound="FeatureScorer")


class FeatureScorer(Scorer):
    """What scorers on features share: they take raw features and normalise them by statistics that they hold.

    How many features there are is known from the data: training calls ``fit_to`` before the optimiser is made, which
    builds the layers (drawn from torch's global generator) and takes over the statistics. With ``n_features`` the
    layers are there at once, and features are taken as they are until ``fit_to`` is called.

    Args:
        n_features: numbers that describe a document; None waits for ``fit_to``.
    """

    takes: ClassVar[type[Lists]] = FeatureLists
    settings_type: ClassVar[type[Settings]] = FeatureSettings
    filing = Filing("Ranker on features", "tabular-regression", tags=("learning-to-rank",))
    shift: Tensor
    scale: Tensor

    def __init__(self, n_features: int | None = None):
        super().__init__()
        self.n_features: int | None = None
        self.log1p = False
        #: whether ``fit_to`` or a saved model has decided about the normalisation
        self.fitted = False
        if n_features is not None:
            self._build(n_features)

    # ------------------------------------------------------------------ what a subclass says

    def layers(self, n_features: int) -> tuple[nn.Module, nn.Module]:
        """(encoder, head) that turn normalised features [documents, features] into [documents, 1]."""
        raise NotImplementedError(f"{type(self).__name__} must define layers(n_features) -> (encoder, head)")

    def encoded(self, normalised: Tensor, batch: FeatureLists) -> Tensor:
        """[documents, width] what the head reads of each document. Default: documents do not see each other."""
        return self.encoder(normalised)

    # ------------------------------------------------------------------ what others call

    @property
    def looks_at_lists(self) -> bool:
        """Whether a document's score depends on the others of its list."""
        return type(self).encoded is not FeatureScorer.encoded

    def fit_to(self, settings: Settings) -> None:
        """Build the layers and take over how features are normalised; a scorer that is fitted keeps what it has.

        Raises:
            ConfigError: data without features, or the layers take another number of them.
        """
        super().fit_to(settings)
        assert isinstance(settings, FeatureSettings)
        if self.n_features not in (None, settings.n_features):
            raise ConfigError(
                f"{type(self).__name__}: its layers take {self.n_features} features, got data with {settings.n_features}; "
                "take the data that it was trained on, or a fresh scorer"
            )
        if self.n_features is None:
            self._build(settings.n_features)
        if self.fitted:
            return
        self.fitted, self.log1p = True, settings.log1p
        for buffer, values in ((self.shift, settings.shift), (self.scale, settings.scale)):
            if values is not None:
                buffer.copy_(torch.from_numpy(np.asarray(values, np.float32)))

    def forward(self, batch: FeatureLists) -> Tensor:
        features = batch.placed(batch.features)  # documents of a list may see each other
        if self.n_features is None:
            raise ConfigError(
                f"{type(self).__name__}: the number of features is not known yet; give n_features, or train it through "
                "RankingModule, which asks the data"
            )
        if features.shape[1] != self.n_features:
            raise ShapeError(
                f"{type(self).__name__}: takes {self.n_features} features per document, got {features.shape[1]}"
            )
        if self.log1p:
            features = features.sign() * features.abs().log1p()
        states = self.encoded((features - self.shift) / self.scale, batch)
        return batch.pad(batch.pooled(self.head(states)[:, 0].float()))

    def parts(self) -> dict[str, list[nn.Parameter]]:
        if self.n_features is None:
            return {"encoder": [], "head": []}
        modules = {"encoder": self.encoder, "head": self.head}
        return {name: [p for p in part.parameters() if p.requires_grad] for name, part in modules.items()}

    @property
    def arguments(self) -> dict[str, Any]:
        return {name: value for name, value in super().arguments.items() if name != "n_features"}

    def save(self, folder: str | os.PathLike, settings: Settings | None = None) -> None:
        if self.n_features is None:
            raise ConfigError(f"{type(self).__name__}: there is nothing to save before the number of features is known")
        known = settings if isinstance(settings, FeatureSettings) else FeatureSettings()
        super().save(folder, replace(known, n_features=self.n_features, log1p=self.log1p))

    @classmethod
    def load(cls: type[OwnFeatures], folder: str | os.PathLike) -> OwnFeatures:
        settings = FeatureSettings.read(folder)

        def make() -> OwnFeatures:
            needed = inspect.signature(cls).parameters.get("n_features")
            told = {} if needed is None or needed.default is not needed.empty else {"n_features": settings.n_features}
            scorer = cls(**{**told, **settings.arguments})
            if scorer.n_features is None:
                scorer._build(settings.n_features)
            scorer.log1p, scorer.fitted = settings.log1p, True
            return scorer

        return cls._opened(Path(folder), make)

    def _build(self, n_features: int) -> None:
        if n_features < 1:
            raise ConfigError(f"{type(self).__name__}: n_features must be at least 1, got {n_features}")
        own = [name for name in ("shift", "scale") if hasattr(self, name)]
        own += [] if callable(self.layers) else ["layers"]
        if own:
            raise ConfigError(
                f"{type(self).__name__}: self.{own[0]} belongs to FeatureScorer; keep what is yours under another name"
            )
        self.n_features = n_features
        self.register_buffer("shift", torch.zeros(n_features))
        self.register_buffer("scale", torch.ones(n_features))
        self.encoder, self.head = self.layers(n_features)
        self.train(self.training)  # fresh layers are in training mode, whatever the scorer is in


class LinearScorer(FeatureScorer):
    """The score is a linear function of the (normalised) features.

    Args:
        n_features: see ``FeatureScorer``.

    >>> scorer = LinearScorer(n_features=2)
    >>> scorer(FeatureLists.of(np.eye(2), np.array([0, 2]))).shape
    torch.Size([1, 2])
    """

    def layers(self, n_features: int) -> tuple[nn.Module, nn.Module]:
        return nn.Identity(), nn.Linear(n_features, 1)


class MLPScorer(FeatureScorer):
    """A multilayer perceptron scores each document by itself.

    Args:
        hidden: widths of the hidden layers.
        dropout: of hidden values, in [0, 1).
        activation: between layers.
        n_features: see ``FeatureScorer``.

    Raises:
        ConfigError: no hidden layer or an empty one, a dropout outside [0, 1), an unknown activation.
    """

    def __init__(
        self,
        hidden: list[int] = [64, 32],  # noqa: B006 (never changed; shown as the default)
        dropout: float = 0.0,
        activation: Activation = "relu",
        n_features: int | None = None,
    ):
        if not hidden or min(hidden) < 1:
            raise ConfigError(
                f"MLPScorer: hidden takes widths of at least 1, one per layer, got {hidden}; for none take LinearScorer"
            )
        if activation not in ACTIVATIONS:
            raise ConfigError(f"MLPScorer: activation must be one of {', '.join(ACTIVATIONS)}, got {activation!r}")
        check_dropout("MLPScorer", dropout)
        self.hidden, self.dropout, self.activation = list(hidden), dropout, activation
        super().__init__(n_features)

    def layers(self, n_features: int) -> tuple[nn.Module, nn.Module]:
        steps: list[nn.Module] = []
        width = n_features
        for size in self.hidden:
            steps += [nn.Linear(width, size), ACTIVATIONS[self.activation]()]
            steps += [nn.Dropout(self.dropout)] if self.dropout else []
            width = size
        return nn.Sequential(*steps), nn.Linear(width, 1)


def check_dropout(name: str, dropout: float) -> None:
    """Raise ConfigError for a dropout outside [0, 1)."""
    if not 0 <= dropout < 1:
        raise ConfigError(f"{name}: dropout must be at least 0 and below 1, got {dropout}")
