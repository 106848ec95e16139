"""How often the functions of a start are called; import the fixture in a conftest."""

import pytest

from ltr.data.collections.collection import Collection
from ltr.data.collections.docstore import LineStore
from ltr.data.text import train_parts
from ltr.data.tokens import pairs as tokens


class Counts(dict):
    """How often functions are called."""

    def watch(self, patch, owner, name):
        original = getattr(owner, name)
        self[name] = 0

        def call(*args, **kwargs):
            self[name] += 1
            return original(*args, **kwargs)

        patch.setattr(owner, name, call)


@pytest.fixture
def counts(monkeypatch):
    """Counts the reads of texts, the runs of the tokenizer, and the making of pools."""
    counts = Counts()
    for owner, name in (
        *((LineStore, "at"), (LineStore, "get_many_iter"), (LineStore, "_build"), (Collection, "texts")),
        *((tokens, "token_ids"), (train_parts, "judged_pool"), (train_parts, "teacher_pool")),
    ):
        counts.watch(monkeypatch, owner, name)
    return counts
