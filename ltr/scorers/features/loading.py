"""Opening a saved scorer on features."""

from __future__ import annotations

import os
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_model

from ltr.errors import ConfigError, DataError
from ltr.io.files import existing
from ltr.io.names import suggestion
from ltr.scorers.features.attention import AttentionScorer
from ltr.scorers.features.scorers import WEIGHTS, FeatureScorer, LinearScorer, MLPScorer
from ltr.settings.features import FeatureSettings

#: the scorers that a saved model may name
SCORERS: dict[str, type[FeatureScorer]] = {made.__name__: made for made in (LinearScorer, MLPScorer, AttentionScorer)}


def load_scorer(folder: str | os.PathLike) -> FeatureScorer:
    """Open a scorer on features that was saved; it takes raw features and is in evaluation mode.

    Only the classes of ``ltr.scorers`` are made, and only weights are read: nothing in the folder may run code.

    Raises:
        DataError: no such folder, an unknown scorer, or files that do not belong together.
    """
    folder = Path(folder)
    settings = FeatureSettings.read(folder)
    if settings.scorer not in SCORERS:
        raise DataError(f"{folder}: no scorer {settings.scorer!r} is known; {suggestion(settings.scorer, SCORERS)}")
    weights = existing(folder / WEIGHTS, f"{folder} is no saved model")
    try:
        scorer = SCORERS[settings.scorer](n_features=settings.n_features, **settings.arguments)
        load_model(scorer, str(weights))
    except (TypeError, ConfigError, RuntimeError, SafetensorError) as error:
        reason = " ".join(str(error).split())[:200]
        raise DataError(f"{folder}: ltr.json and {WEIGHTS} do not belong together: {reason}") from error
    scorer.log1p, scorer.fitted = settings.log1p, True
    return scorer.eval()
