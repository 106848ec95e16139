"""Opening any saved scorer: which classes a model folder may name, and which of them it names."""

from __future__ import annotations

import importlib
import importlib.metadata
import inspect
import logging
import os
from collections.abc import Iterable
from pathlib import Path

from ltr.errors import DataError
from ltr.io.model_names import located
from ltr.io.names import suggestion
from ltr.scorers.base import Scorer
from ltr.scorers.causal.causal_scorer import CausalScorer
from ltr.scorers.causal.layout import is_causal
from ltr.scorers.causal.policy_ratio import PolicyRatio
from ltr.scorers.causal.token_student import TokenStudent
from ltr.scorers.features.attention import AttentionScorer
from ltr.scorers.features.scorers import LinearScorer, MLPScorer
from ltr.scorers.layout import MODULES, is_cross_encoder, kinds_of
from ltr.scorers.retrievers.bi_encoder import BiEncoder
from ltr.scorers.retrievers.encoder import EncodingRetriever
from ltr.scorers.retrievers.late_interaction import MASK, LateInteraction
from ltr.scorers.retrievers.sparse import Sparse
from ltr.scorers.text.cross_encoder import CrossEncoder
from ltr.settings import FILE, Settings

log = logging.getLogger(__name__)

#: the scorers of ltr that a saved model may name
SCORERS: dict[str, type[Scorer]] = {
    made.__name__: made
    for made in (
        *(BiEncoder, LateInteraction, Sparse, CrossEncoder, CausalScorer, PolicyRatio, TokenStudent),
        *(LinearScorer, MLPScorer, AttentionScorer),
    )
}
#: packages that are installed here name their scorers in this group of entry points, and their models then open
ENTRY_POINTS = "ltr.scorers"


def load_scorer(folder: str | os.PathLike, allow: Iterable[str] = ()) -> Scorer:
    """Open a scorer that was saved; it is in evaluation mode.

    Only weights are read, and only classes are made that this machine's owner chose: those of ltr, those that installed
    packages declare (entry points of the group ``ltr.scorers``), and those that ``allow`` names. A folder that came from
    elsewhere cannot choose what is imported.

    Args:
        folder: of the model.
        allow: import paths, such as ``mypkg`` (all of it) or ``mypkg.scorers.Mine``.

    Raises:
        DataError: no such folder, a scorer that is not allowed or cannot be imported, or files that do not belong together.
    """
    folder = Path(folder)
    if not (folder / FILE).is_file() and (folder / MODULES).is_file():
        # of sentence-transformers
        if is_cross_encoder(str(folder)) and kinds_of(str(folder)) == ["Transformer"]:
            return CrossEncoder.load(folder)
        return CausalScorer.load(folder) if is_causal(folder) else load_retriever(folder)
    name = (Settings.read(folder).scorer or CrossEncoder.__name__).removeprefix("ltr.scorers.")
    return (SCORERS[name] if name in SCORERS else _imported(folder, name, list(allow))).load(folder)


def load_retriever(model: str | os.PathLike) -> EncodingRetriever:
    """Open a retriever of sentence-transformers by its modules, in evaluation mode; a bi-encoder where there are none.

    Args:
        model: folder, hub id or ``package:NAME/PATH``.
    """
    name = os.fspath(model)
    kinds = kinds_of(located(name))
    made = Sparse if "SpladePooling" in kinds else LateInteraction if MASK in kinds else BiEncoder
    scorer = made.load(name)
    if not kinds:
        log.warning(
            "%s does not say how it makes vectors (it has no modules.json): the mean of its states is taken, and compared by "
            "cosine; a model that was not trained to find documents finds few",
            name,
        )
    return scorer


def _imported(folder: Path, name: str, allow: list[str]) -> type[Scorer]:
    home, _, last = name.rpartition(".")
    if not home:
        raise DataError(f"{folder}: no scorer {name!r} is known; {suggestion(name, SCORERS)}")
    declared = {point.value.replace(":", ".") for point in importlib.metadata.entry_points(group=ENTRY_POINTS)}
    if name not in declared and not any(name == path or name.startswith(f"{path}.") for path in filter(None, allow)):
        raise DataError(
            f"{folder}: its scorer is {name}, which is not part of ltr, and a model folder alone may not choose what is "
            f"imported; if you trust that package, allow it: allow=[{home.partition('.')[0]!r}] in Python, --allow "
            f"{home.partition('.')[0]} on the command line"
        )
    try:
        cls = getattr(importlib.import_module(home), last)
    except Exception as error:  # whatever an allowed package does wrong
        reason = f"{type(error).__name__}: {error}"
        raise DataError(
            f"{folder}: its scorer {name} cannot be imported here: {reason}; install its package"
        ) from error
    if not (inspect.isclass(cls) and issubclass(cls, Scorer)):
        raise DataError(f"{folder}: {name} is no scorer; it must derive from ltr.scorers.Scorer")
    return cls
