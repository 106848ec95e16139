"""The model folders of a run folder, ``best`` and ``last``: each with a card that says how it was made."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ltr.io.files import building
from ltr.report.cards.model_card import ModelCard
from ltr.report.cards.sealed import CARD, own_card, write_card
from ltr.scorers.opening import SCORERS
from ltr.settings import FILE, Settings
from ltr.training.module import RankingModule
from ltr.training.run import records


def save_model(folder: Path, module: RankingModule, name: str) -> None:
    """Save a module's scorer as a model folder with a card; the old one, or its card if somebody edited that, stays until then.

    Args:
        folder: the run folder.
        module: what is trained.
        name: of the model folder in it.
    """
    own = own_card(folder / name)
    with building(folder / name) as made:
        module.scorer.save(made, module.data.inputs)
        if own is None:
            write_card(made, _card(folder, module, name, module.data.inputs))
        else:
            (made / CARD).write_bytes(own)


def renew_card(folder: Path, module: RankingModule, name: str) -> None:
    """Write the card of a model folder anew from what the manifest says by now; one that somebody edited stays."""
    place = folder / name
    if place.is_dir():
        given = module.data.inputs
        known = type(given).read(place) if (place / FILE).is_file() else given
        write_card(place, _card(folder, module, name, known))


def training_of(folder: Path) -> Mapping[str, Any] | None:
    """The manifest of the training that saved a model; None for other folders, such as an export in a run folder."""
    place = folder.absolute()
    if place.name not in records.MODELS or not (place.parent / records.MANIFEST).is_file():
        return None
    manifest = records.read_manifest(place.parent)
    return manifest if manifest.get("scorer") in SCORERS else None


def card_of(folder: Path, manifest: Mapping[str, Any], opened: str = ".", picture: bool = False) -> str:
    """The card of a model folder as it is now.

    Args:
        folder: of the model.
        manifest: from ``training_of``.
        opened, picture: see ``ModelCard``.
    """
    made, place = SCORERS[manifest["scorer"]], folder.absolute()
    facts = made.filing, made.settings_type.read(folder), manifest
    return ModelCard(place.parent.name, *facts, place.name == "best", opened, picture).text()


def _card(folder: Path, module: RankingModule, name: str, settings: Settings) -> str:
    manifest = records.read_manifest(folder)
    return ModelCard(folder.name, module.scorer.filing, settings, manifest, measured=name == "best").text()
