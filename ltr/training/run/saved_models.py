"""The model folders of a run folder, ``best`` and ``last``: each with a card that says how it was made."""

from __future__ import annotations

from pathlib import Path

from ltr.io.files import building
from ltr.report.cards.model_card import ModelCard
from ltr.report.cards.sealed import CARD, own_card, write_card
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


def _card(folder: Path, module: RankingModule, name: str, settings: Settings) -> str:
    manifest = records.read_manifest(folder)
    return ModelCard(folder.name, module.scorer.filing, settings, manifest, measured=name == "best").text()
