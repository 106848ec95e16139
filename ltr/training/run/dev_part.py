"""What validations of a training measure on: a resumed one goes on with that alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ltr.data.base import RankingData
from ltr.data.collections.shares import sliced
from ltr.data.contents import contents_of
from ltr.data.features.feature_data import FeatureData
from ltr.data.preferences.preference_data import PreferenceData
from ltr.data.text.text_data import TextData
from ltr.errors import ConfigError, LtrError
from ltr.training.run.early_stopping import Best

#: settings of data by which validations score other lists of the same dev part, or by other labels
MEASURED = ("dev_top", "dev_queries", "label", "gain", "transform")


def dev_of(data: RankingData) -> dict[str, str]:
    """What validations measure on: contents of dev, which share of it, and what of it is scored by which labels; nothing for
    data that do not tell."""
    if not isinstance(data, (TextData, FeatureData, PreferenceData)) or data.dev is None:
        return {}
    try:
        if isinstance(data, TextData):
            found = contents_of(data, ["dev"])  # of a share of a collection, those of the share
        else:
            found = {"dev": data.digest("dev")}
            if share := sliced(data.dev):
                found["dev"] += f" {share[1:]} {getattr(data, 'split_by', '')}"
    except (LtrError, OSError):  # whoever reads it will say what is wrong
        return {}
    chosen = {name: getattr(data, name, None) for name in MEASURED}
    if isinstance(data, TextData) and data.dev_queries is not None:
        chosen["seed"] = data.seed
    return found | {name: str(value) for name, value in chosen.items() if value is not None}


def check_dev(folder: Path, held: Mapping[str, str], now: Mapping[str, str], best: Best) -> None:
    """Refuse another dev part: the best value so far would be compared with values on other queries.

    Args:
        folder: of the run.
        held: ``dev_of`` the data at the checkpoint; empty where an older version saved it.
        now: of the data as they are.
        best: what was the best so far.

    Raises:
        ConfigError: naming what was changed.
    """
    other = [name for name in dict.fromkeys([*held, *now]) if held.get(name) != now.get(name)] if held and now else []
    if other and best.value is not None:
        raise ConfigError(
            f"cannot resume {folder} with another data.{other[0]}: dev/{best.monitor} {best.value:.4f} at step {best.step}, which "
            f"chose best/, was measured on what it was before; give that, or start a new training from best/ with "
            f"--model.scorer.model={folder}/best"
        )
