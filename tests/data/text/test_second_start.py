"""What a second start, and a training batch, do not do: counts, not times."""

import numpy as np
import pytest
import torch

from ltr.data.collections.collection import Collection
from ltr.data.collections.ids import Ids
from ltr.data.lists import pools
from ltr.data.lists.loaders import Loader
from ltr.data.lists.sampling import Pool, Sampling
from ltr.data.text import parts as text_parts
from ltr.data.tokens import shards as token_shards
from ltr.data.tokens import store as token_store
from ltr.errors import DataError
from tests.data.counting import Counts
from tests.data.text_data import N_DOCS, At, lists_of


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LTR_CACHE", str(tmp_path / "cache"))


def test_a_second_start_reads_no_text_and_tokenises_nothing(data, counts):
    first = lists_of(data().train_dataloader())
    assert counts["at"] >= N_DOCS
    assert counts["token_ids"] == 3  # queries of train and of dev, and the documents, which they share
    assert counts["judged_pool"] == counts["_build"] == 1
    counts.update(dict.fromkeys(counts, 0))
    again = data()
    assert lists_of(again.train_dataloader()) == first
    lists_of(again.val_dataloader())
    assert again.describe()
    assert dict(counts) == dict.fromkeys(counts, 0)


def test_training_queries_and_judgements_are_not_read_again(data, monkeypatch):
    first = lists_of(data(dev=None).train_dataloader())

    def read(self):
        raise AssertionError("read again")

    monkeypatch.setattr(Collection, "queries", property(read))
    monkeypatch.setattr(Collection, "qrels", property(read))
    monkeypatch.setattr(text_parts, "candidates", read)
    made = data(dev=None)
    assert lists_of(made.train_dataloader()) == first
    assert made.signature


@pytest.mark.parametrize("source", ["first", "qrels", "teacher", "subset"])
def test_candidates_are_read_once(data, folder, monkeypatch, source):
    settings = {
        "first": {"dev_top": 5},
        "qrels": {"dev_candidates": "qrels"},
        "teacher": {"dev_candidates": "bm25", "dev_teacher": str(folder / "run.first.trec"), "dev_queries": 4},
        "subset": {"dev_queries": 3, "seed": 2},
    }[source]
    made = data(**settings)
    first, run = lists_of(made.val_dataloader()), made._eval_part("dev").run
    monkeypatch.setattr(text_parts, "candidates", None)
    again = data(**settings)
    assert lists_of(again.val_dataloader()) == first
    assert again._eval_part("dev").run.to_dict() == run.to_dict()
    assert again._eval_part("dev").run.name == run.name
    with pytest.raises(TypeError):
        data(**{**settings, "dev_queries": 2})


def test_a_batch_runs_no_tokenizer(data, counts):
    made = data()
    counts.update(dict.fromkeys(counts, 0))
    for epoch in range(2):
        made.trainer = At(epoch)
        assert len(list(made.train_dataloader())) == 3
    assert dict(counts) == dict.fromkeys(counts, 0)


def test_a_start_draws_the_first_epoch_once(data, monkeypatch):
    counts = Counts()
    counts.watch(monkeypatch, Pool, "draw")
    made = data()
    made.describe()
    list(made.train_dataloader())
    assert counts["draw"] == 1
    made.trainer = At(1)
    list(made.train_dataloader())
    assert counts["draw"] == 2


def test_shards_are_verified_once(data, monkeypatch):
    verified = []
    original = token_shards.Shard.__init__

    def opened(self, path, verify=False):
        verified.append(verify)
        original(self, path, verify)

    data()
    monkeypatch.setattr(token_shards.Shard, "__init__", opened)
    data()
    assert verified
    assert not any(verified)


def test_bytes_held_for_a_passage(monkeypatch):
    """Candidates 4 + 4 (label), id 8, row 8, lengths 4, starts 8; lists of Python objects would take 200."""
    n, depth = 20_000, 100
    monkeypatch.setattr(token_store, "KEPT", 100)
    ids = [str(10_000_000 + i) for i in range(n)]
    store = token_store.TokenStore("docs", _tokenizer())
    assert store.ensure(ids, lambda asked: ["quick fox"] * len(asked)) == n
    table = store.open()
    lists = {f"q{i}": dict.fromkeys(ids[i * depth : (i + 1) * depth], 1.0) for i in range(n // depth)}
    run = pools.Run.from_dict(lists)
    qrels = {query_id: {next(iter(docs)): 1} for query_id, docs in lists.items()}
    pool = pools.judged_pool("data", list(lists), qrels, run, Sampling())
    held = [
        pool.rest.values,
        pool.rest_labels,
        pool.doc_ids.raw,
        table.rows(pool.doc_ids),
        table._lengths,
        table._starts,
    ]
    assert all(isinstance(one, np.ndarray) for one in held)
    assert isinstance(pool.doc_ids, Ids)
    assert sum(one.nbytes for one in held) / n < 40
    shard_bytes = sum(path.stat().st_size for path in table.paths)
    n_tokens = int(table.lengths(np.arange(n)).sum())
    assert (shard_bytes - 2 * n_tokens) / n < 21  # two bytes a token, and digest and length of each text


def _tokenizer():
    from tests.data.tokenizers import tiny_tokenizer

    return tiny_tokenizer("bert")


# ------------------------------------------------------------------------------------------------------- loaders


def test_batches_are_made_by_a_thread_and_the_same_as_without(data):
    import threading

    made = data()
    names = set()
    loader = made.train_dataloader()
    original = loader.dataset.__class__.__getitem__

    def seen(self, lists):
        names.add(threading.current_thread().name)
        return original(self, lists)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loader.dataset.__class__, "__getitem__", seen)
        batches = list(loader)
    assert names == {"ltr-ahead"}
    assert isinstance(loader, Loader)
    direct = [loader.dataset[lists] for lists in loader.sampler]
    assert [batch.tokens.ids.tolist() for batch in batches] == [batch.tokens.ids.tolist() for batch in direct]
    assert [batch.doc_ids for batch in batches] == [batch.doc_ids for batch in direct]


def test_loading_draws_no_random_numbers_of_the_training(data):
    made = data()
    torch.manual_seed(3)
    before = torch.get_rng_state()
    for loader in (made.train_dataloader(), made.val_dataloader()):
        assert len(list(loader)) > 0
    assert torch.equal(torch.get_rng_state(), before)


def test_an_error_of_a_batch_reaches_the_training(data, monkeypatch):
    loader = data().train_dataloader()

    def broken(self, lists):
        raise DataError("a damaged batch")

    monkeypatch.setattr(loader.dataset.__class__, "__getitem__", broken)
    with pytest.raises(DataError, match="a damaged batch"):
        list(loader)
