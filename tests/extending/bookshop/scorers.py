"""A scorer of numbers and a scorer of texts."""

import torch
from torch import nn

from ltr.data import load_tokenizer
from ltr.scorers import FeatureScorer, TextScorer


class Products(FeatureScorer):
    """Features and their squares, weighed."""

    def __init__(self, squares: bool = True):
        super().__init__()
        self.squares = squares

    def layers(self, n_features):
        return nn.Identity(), nn.Linear(2 * n_features if self.squares else n_features, 1)

    def encoded(self, normalised, batch):
        return torch.cat([normalised, normalised**2], 1) if self.squares else normalised


class WordSum(TextScorer):
    """The sum of a number for each token of query and document."""

    def __init__(self, model: str, width: int = 4):
        super().__init__()
        self.model, self.width = model, width
        self._tokenizer = load_tokenizer(model)
        self.words = nn.EmbeddingBag(len(self._tokenizer), width, mode="mean")
        self.head = nn.Linear(width, 1)

    @property
    def tokenizer(self):
        return self._tokenizer

    def forward(self, batch):
        rows = batch.tokens
        return batch.scores(self.head(self.words(rows.ids, rows.offsets[:-1]))[:, 0].float())
