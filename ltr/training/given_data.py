"""The data that a trainer was given: a data module, or plain loaders."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl

from ltr.data.base import LOADERS, PartName, RankingData
from ltr.data.features.feature_data import FeatureData
from ltr.data.preferences.preference_data import PreferenceData
from ltr.errors import ConfigError
from ltr.losses.base import Loss


class LoaderData(RankingData):
    """Plain loaders of batches as data: nothing is known of them but their batches.

    Args:
        loaders: of the parts that there are, each an iterable of ``ltr.batch.Lists`` with labels.
    """

    def __init__(self, loaders: dict[PartName, Any]):
        named = {name: f"a {type(loader).__name__}" for name, loader in loaders.items() if loader is not None}
        super().__init__(named.get("train"), named.get("dev"), named.get("test"))
        self._loaders = loaders

    def train_dataloader(self) -> Any:
        return self._loaders.get("train")

    def val_dataloader(self) -> Any:
        return self._loaders.get("dev")

    def test_dataloader(self) -> Any:
        return self._loaders.get("test")


def ranking_data(trainer: pl.Trainer) -> RankingData:
    """The data that a trainer works on.

    Raises:
        ConfigError: a data module that does not keep ltr's contract.
    """
    data = trainer.datamodule  # type: ignore[attr-defined]
    if isinstance(data, RankingData):
        _check_loaders(data)
        return data
    if data is not None:
        raise ConfigError(
            f"{type(data).__name__}: a data module must derive from ltr.data.RankingData, which says what training asks of "
            "it; or hand loaders to trainer.fit(module, train_loader, dev_loader)"
        )
    return LoaderData(_loaders(trainer))


def check_labels(loss: Loss, data: RankingData) -> None:
    """Refuse labels that a loss reads as good (above 0) or bad, where all of them are good, as ratings from 1 to 5 are.

    Raises:
        ConfigError: they are.
    """
    # of collections of texts the documents that no list names are bad
    labels = data.train_labels if loss.good_or_bad() and isinstance(data, (PreferenceData, FeatureData)) else None
    if labels is not None and len(labels) and labels.min() > 0:
        raise ConfigError(
            f"{type(loss).__name__}: labels above 0 are good and others bad, and all {len(labels):,} training labels are good (from "
            f"{labels.min():g} to {labels.max():g}): the worst would count as good; give labels of which the bad ones are 0, or "
            "take a loss of their order or size, such as BradleyTerry(PairTargets(gap=1.0)) or CompositeSoftmax"
        )


def _check_loaders(data: RankingData) -> None:
    for name in data.named:
        defined = getattr(getattr(data, LOADERS[name]), "__func__", None)
        if defined is getattr(pl.LightningDataModule, LOADERS[name]):
            raise ConfigError(f"{type(data).__name__}: names what {name} is, and defines no {LOADERS[name]}")


def _loaders(trainer: pl.Trainer) -> dict[PartName, Any]:
    """What trainer.fit, validate or test was handed. Lightning tells it in no other place."""
    sources: dict[PartName, list[Any]] = {
        "train": [trainer.fit_loop],
        "dev": [trainer.fit_loop.epoch_loop.val_loop, trainer.validate_loop],
        "test": [trainer.test_loop],
    }
    given = {name: [loop._data_source.instance for loop in loops] for name, loops in sources.items()}
    return {
        name: next((one for one in several if one is not None and not isinstance(one, pl.LightningModule)), None)
        for name, several in given.items()
    }
