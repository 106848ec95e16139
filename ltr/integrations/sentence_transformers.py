"""An object that answers as a ``CrossEncoder`` of sentence-transformers does, for code that expects one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ltr.integrations.rankers import Model, ranker_of, scores_of_rows

if TYPE_CHECKING:
    import torch


class LtrCrossEncoder:
    """``predict`` and ``rank`` of a CrossEncoder; sentence-transformers itself is not needed.

    Args:
        model: see ``ltr.integrations.rankers.Model``.
        probability: give probabilities; raw scores by default, as a CrossEncoder does of a model that ltr saved.
    """

    def __init__(self, model: Model, probability: bool = False):
        self.ranker, self.probability = ranker_of(model), probability

    def predict(
        self,
        sentences: Sequence[Sequence[str]] | Sequence[str],
        batch_size: int | None = None,
        show_progress_bar: bool | None = None,
        convert_to_numpy: bool = True,
        convert_to_tensor: bool = False,
    ) -> Any:
        """Scores [pairs] of (query, document) pairs, or the score of one pair.

        Args:
            sentences: pairs, or one pair of texts.
            batch_size: taken and not needed: ltr batches by tokens.
            show_progress_bar: likewise.
            convert_to_numpy: an array; otherwise a list of numbers.
            convert_to_tensor: a tensor instead.
        """
        one = len(sentences) == 2 and all(isinstance(text, str) for text in sentences)
        pairs: Any = [sentences] if one else sentences
        queries, docs = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
        scores = scores_of_rows(self.ranker, queries, docs, self.probability).astype(np.float32)
        if convert_to_tensor:
            return _tensor(scores)[0] if one else _tensor(scores)
        found = scores if convert_to_numpy else scores.tolist()
        return found[0] if one else found

    def rank(
        self,
        query: str,
        documents: Sequence[str],
        top_k: int | None = None,
        return_documents: bool = False,
        batch_size: int | None = None,
        show_progress_bar: bool | None = None,
    ) -> list[dict[str, Any]]:
        """``corpus_id``, ``score`` and, when asked for, ``text`` of the documents, best first."""
        ranked = self.ranker.rank(query, documents, None, top_k, probability=self.probability)
        found: list[dict[str, Any]] = [{"corpus_id": one.index, "score": one.score} for one in ranked]
        return [{**one, "text": documents[one["corpus_id"]]} for one in found] if return_documents else found


def _tensor(scores: np.ndarray) -> torch.Tensor:
    import torch

    return torch.from_numpy(scores)
