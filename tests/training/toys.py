"""A scorer and data small enough to train in milliseconds, of the contract's real types."""

import numpy as np
import pytorch_lightning as pl
import torch
from torch import nn

from ltr.batch import TextLists, TokenRows
from ltr.data.base import Part, RankingData
from ltr.io.labelled import LabelledLists
from ltr.io.trec import Run
from ltr.scorers.base import Scorer
from ltr.settings import ModelSettings


class Bag(Scorer):
    """The score of a document is a linear function of the mean of its tokens' embeddings."""

    takes = TextLists

    def __init__(self, vocabulary: int = 50):
        super().__init__()
        self.tokens = nn.EmbeddingBag(vocabulary, 4, mode="mean")
        self.head = nn.Linear(4, 1)

    def forward(self, batch):
        return batch.pad(self.head(self.tokens(batch.tokens.ids, batch.tokens.offsets[:-1]))[:, 0])

    def parts(self):
        return {"encoder": [self.tokens.weight], "head": list(self.head.parameters())}


def lists(sizes, labels, seed=0, prefix="q"):
    """A TextLists of random tokens, ``sizes[i]`` documents in list i, ``labels`` flat."""
    generator = torch.Generator().manual_seed(seed)
    n = sum(sizes)
    lengths = torch.randint(2, 6, (n,), generator=generator)
    return TextLists(
        list_offsets=torch.tensor([0, *torch.tensor(sizes).cumsum(0)]),
        labels=torch.tensor(labels, dtype=torch.float32),
        query_ids=[f"{prefix}{i}" for i in range(len(sizes))],
        doc_ids=[f"d{j}" for j in range(n)],
        tokens=TokenRows(
            torch.randint(0, 50, (int(lengths.sum()),), generator=generator),
            torch.zeros(int(lengths.sum()), dtype=torch.int64),
            torch.tensor([0, *lengths.cumsum(0)]),
        ),
    )


class Fixed(RankingData):
    """Serves given batches in order; dev is one batch with its labels as judgements."""

    def __init__(self, batches, dev):
        super().__init__("toy", "toy")
        self.batches, self.dev_batch = batches, dev
        qrels, scores = {}, {}
        labels = iter(dev.labels.tolist())
        docs = iter(dev.doc_ids)
        for query_id, size in zip(dev.query_ids, dev.list_offsets.diff().tolist(), strict=True):
            qrels[query_id] = {next(docs): int(next(labels)) for _ in range(size)}
            scores[query_id] = {doc: -float(i) for i, doc in enumerate(qrels[query_id])}
        self.dev_part, self.mean = Part(qrels=qrels, first=Run.from_dict(scores, name="first")), None

    def part(self, name):
        return self.dev_part if name == "dev" else Part()

    @property
    def mean_label(self):
        return self.mean

    @property
    def inputs(self):
        return ModelSettings(16, 8, trained_on=("toy",))

    @property
    def signature(self):
        return "toy"

    def describe(self):
        return f"toy data: {len(self.batches)} batches"

    def real_valued(self, read=None):
        """The same with the labels of dev as real values: no judgements, no first stage; ``read`` as the source has them."""
        dev, known = self.dev_batch, None
        if read is not None:
            known = LabelledLists(dev.query_ids, dev.list_offsets.numpy(), dev.labels.double().numpy(), np.array(read))
        self.dev_part, self.mean = Part(labels=known), 0.5
        return self

    def train_dataloader(self):
        return torch.utils.data.DataLoader(self.batches, batch_size=None, generator=torch.Generator())

    def val_dataloader(self):
        return torch.utils.data.DataLoader([self.dev_batch], batch_size=None, generator=torch.Generator())


def trainer(**settings):
    """A silent trainer on one CPU."""
    quiet = {
        "logger": False,
        "enable_checkpointing": False,
        "enable_model_summary": False,
        "enable_progress_bar": False,
    }
    return pl.Trainer(accelerator="cpu", devices=1, num_sanity_val_steps=0, **{**quiet, "max_epochs": 1, **settings})
