"""Scorers of documents that are described by numbers: what all share, the linear one, the multilayer perceptron."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from safetensors.torch import save_model
from torch import Tensor, nn

from ltr.batch import FeatureLists
from ltr.errors import ConfigError, ShapeError
from ltr.io.files import building
from ltr.scorers.base import Scorer
from ltr.settings.features import FeatureSettings

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
    "elu": nn.ELU,
}
WEIGHTS = "model.safetensors"
Activation = Literal["relu", "gelu", "silu", "tanh", "elu"]


class FeatureScorer(Scorer):
    """What scorers on features share: they take raw features and normalise them by statistics that they hold.

    How many features there are is known from the data: training calls ``fit_to`` before the optimiser is made, which
    builds the layers (drawn from torch's global generator) and takes over the statistics. With ``n_features`` the
    layers are there at once, and features are taken as they are until ``fit_to`` is called.

    Args:
        n_features: numbers that describe a document; None waits for ``fit_to``.
    """

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

    def fit_to(
        self, n_features: int, log1p: bool = False, shift: np.ndarray | None = None, scale: np.ndarray | None = None
    ) -> None:
        """Build the layers and take over how features are normalised; a scorer that is fitted keeps what it has.

        Args:
            n_features: numbers that describe a document.
            log1p: whether sign(x) log(1 + abs(x)) comes first.
            shift: [features] what is subtracted then.
            scale: [features] by what is divided then.

        Raises:
            ConfigError: the layers take another number of features.
        """
        if self.n_features not in (None, n_features):
            raise ConfigError(
                f"{type(self).__name__}: its layers take {self.n_features} features, got data with {n_features}; take the "
                "data that it was trained on, or a fresh scorer"
            )
        if self.n_features is None:
            self._build(n_features)
        if self.fitted:
            return
        self.fitted, self.log1p = True, log1p
        for buffer, values in ((self.shift, shift), (self.scale, scale)):
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
        found = {"encoder": self.encoder, "head": self.head}
        return {name: [p for p in part.parameters() if p.requires_grad] for name, part in found.items()}

    @property
    def arguments(self) -> dict[str, Any]:
        """What the class was made with, ``n_features`` left out."""
        return {}

    def save(self, folder: str | os.PathLike, settings: FeatureSettings | None = None) -> None:
        """Save as a folder of ``model.safetensors`` (weights and statistics) and ``ltr.json`` (all else).

        ``load_scorer`` opens it. Written beside and renamed: an interruption leaves what was there.

        Raises:
            ConfigError: a scorer that has no layers yet.
        """
        if self.n_features is None:
            raise ConfigError(f"{type(self).__name__}: there is nothing to save before the number of features is known")
        made = replace(
            settings or FeatureSettings(),
            scorer=type(self).__name__,
            arguments=self.arguments,
            n_features=self.n_features,
            log1p=self.log1p,
        )
        with building(Path(folder)) as beside:
            save_model(self, str(beside / WEIGHTS))
            made.write(beside)

    def _build(self, n_features: int) -> None:
        if n_features < 1:
            raise ConfigError(f"{type(self).__name__}: n_features must be at least 1, got {n_features}")
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

    @property
    def arguments(self) -> dict[str, Any]:
        return {"hidden": self.hidden, "dropout": self.dropout, "activation": self.activation}

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
