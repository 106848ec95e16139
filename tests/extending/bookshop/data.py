"""A data module: shelves of books, made up."""

import numpy as np
from torch.utils.data import DataLoader

from ltr import FeatureLists
from ltr.data import Part, RankingData


class Shelves(RankingData):
    """Lists of books with three numbers each; the third says how well a book sells.

    Args:
        shelves: lists in each part.
    """

    def __init__(self, shelves: int = 12):
        super().__init__(train="shelves", dev="other shelves", test="third shelves")
        self.shelves = shelves

    def shelf(self, part):
        rng = np.random.default_rng(["train", "dev", "test"].index(part))
        grades = np.concatenate([rng.permutation(3) for _ in range(self.shelves)])
        features = rng.normal(size=(len(grades), 3))
        features[:, 2] += 3 * grades
        return FeatureLists.of(
            features,
            np.arange(self.shelves + 1) * 3,
            grades,
            query_ids=[f"{part}{i}" for i in range(self.shelves)],
            doc_ids=[f"book{i}" for i in range(len(grades))],
        )

    def part(self, name):
        whole = self.shelf(name)
        grades, books = whole.labels.int().tolist(), whole.doc_ids
        qrels = {
            q: dict(zip(books[3 * i : 3 * i + 3], grades[3 * i : 3 * i + 3], strict=True))
            for i, q in enumerate(whole.query_ids)
        }
        return Part(query_ids=whole.query_ids, qrels=qrels)

    def train_dataloader(self):
        return DataLoader([self.shelf("train")], batch_size=None)

    def val_dataloader(self):
        return DataLoader([self.shelf("dev")], batch_size=None)

    def test_dataloader(self):
        return DataLoader([self.shelf("test")], batch_size=None)
