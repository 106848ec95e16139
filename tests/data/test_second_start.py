"""What a second start, and a training batch, do not do: counts, not times."""

from dataclasses import asdict

import numpy as np
import pytest

from ltr.data import kept_pools, pools, text_parts, token_shards, token_store, tokens, train_parts
from ltr.data.collection import Collection
from ltr.data.docstore import LineStore
from ltr.data.ids import Ids
from ltr.data.kept_pools import kept_pool
from ltr.data.loaders import Loader
from ltr.data.sampling import Pool, Sampling
from ltr.errors import ConfigError, DataError
from tests.data.text_data import FIRST, N_DOCS, At, lists_of


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LTR_CACHE", str(tmp_path / "cache"))


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


# ---------------------------------------------------------------------------------------------------- kept pools


SETTINGS = {
    "judged": {},
    "random": {"sampling": Sampling(docs_per_list=5, random=0.5, random_pool=40)},
    "several positives": {"sampling": Sampling(docs_per_list=6, positives=3, skip=1, top=7)},
    "subset": {"train_queries": 5, "seed": 3},
}


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_a_kept_pool_is_the_pool(data, settings, counts):
    made = [data(dev=None, **settings) for _ in range(2)]
    assert counts["judged_pool"] == 1
    fresh, kept = (one._part("train").pool for one in made)
    facts = [asdict(pool) for pool in (fresh, kept)]
    for name in facts[0]:
        a, b = (one[name] for one in facts)
        if isinstance(a, (list, Ids)):
            assert a == b, name
        elif name in ("first", "rest", "relevant"):
            assert [values.tolist() for values in a] == [values.tolist() for values in b], name
        elif isinstance(a, np.ndarray):
            assert a.tolist() == b.tolist(), name
        else:
            assert a == b, name
    epochs = []
    for one in made:
        one.trainer = At(1)
        epochs.append(lists_of(one.train_dataloader()))
    assert epochs[0] == epochs[1]


@pytest.fixture
def teacher(tmp_path):
    """Settings of training with a teacher."""
    run = tmp_path / "teacher.trec"
    run.write_text("".join(f"t{i} Q0 d{j} 1 {j - i / 4} big\n" for i in range(3) for j in range(6)))
    return {"dev": None, "train_candidates": None, "teacher": str(run)}


def test_teacher_and_triples_are_kept_too(data, teacher, monkeypatch, counts):
    assert lists_of(data(**teacher).train_dataloader()) == lists_of(data(**teacher).train_dataloader())
    assert counts["teacher_pool"] == 1
    monkeypatch.setattr(Collection, "docpairs", lambda self: iter([("t1", "d1", "d2"), ("t5", "d4", "d5")]))
    triples = {"dev": None, "train_candidates": "docpairs"}
    first = lists_of(data(**triples).train_dataloader())
    monkeypatch.setattr(Collection, "docpairs", None)
    assert lists_of(data(**triples).train_dataloader()) == first


def test_the_size_of_lists_makes_no_new_pool_and_all_else_does(data, counts, tmp_path):
    data(dev=None)
    for size in (3, 5, None):
        lists = lists_of(data(dev=None, sampling=Sampling(docs_per_list=size)).train_dataloader())
        assert {len(docs) for docs in lists.values()} == {size or 10}
    data(dev=None, seed=1)  # the seed draws, and nothing here was chosen by it
    assert counts["judged_pool"] == 1
    run = tmp_path / "run.trec"
    run.write_text("".join(f"{q} Q0 {d} 1 1.0 x\n" for q, docs in FIRST.items() for d in docs[:6]))
    for settings in (
        {"sampling": Sampling(docs_per_list=4, top=7)},
        {"sampling": Sampling(docs_per_list=4, skip=1)},
        {"sampling": Sampling(docs_per_list=4, min_grade=2)},
        {"sampling": Sampling(docs_per_list=4, random=0.5)},
        {"sampling": Sampling(docs_per_list=4, random=0.5), "seed": 1},
        {"train_queries": 5},
        {"train_queries": 5, "seed": 1},
        {"train_candidates": str(run)},
        {"train_candidates": "qrels", "sampling": Sampling(docs_per_list=4)},
    ):
        before = counts["judged_pool"]
        data(dev=None, **settings)
        assert counts["judged_pool"] == before + 1, settings


def test_what_was_left_out_is_said_at_every_start(data, folder, tmp_path, caplog):
    import shutil

    other = shutil.copytree(folder, tmp_path / "other")
    with open(other / "qrels.train.trec", "a") as file:
        file.write("t0x 0 d1 1\n")  # no such query
    with open(other / "queries.tsv", "a") as file:
        file.write("t99\tjudged, without candidates\n")
    with open(other / "qrels.train.trec", "a") as file:
        file.write("t99 0 d1 1\n")
    said = []
    for _ in range(2):
        caplog.clear()
        data(dev=None, train=f"{other}/train")
        said.append(caplog.messages)
    assert said[0] == said[1]
    assert said[0] == [
        f"{other}/train: 1 of 14 judged queries are not among its queries and are left out: t0x",
        f"{other}/train: 1 of 13 queries are left out of training: 1 without negatives",
    ]


def test_what_fails_is_not_kept(monkeypatch):
    def broken():
        raise DataError("no list")

    for _ in range(2):
        with pytest.raises(DataError, match="no list"):
            kept_pool(["facts"], {}, broken)


def test_a_kept_pool_hides_no_wrong_setting(data, teacher):
    data(**teacher)
    with pytest.raises(ConfigError, match=r"random must be 0 with a teacher, got 0.5"):
        data(**teacher, sampling=Sampling(docs_per_list=4, random=0.5))


@pytest.mark.parametrize("how", ["cut", "removed"])
@pytest.mark.parametrize("kind", ["pools", "candidates", "docs"])
def test_damaged_folders_of_the_cache_are_made_anew(data, tmp_path, caplog, kind, how):
    first = [lists_of(loader) for loader in (data().train_dataloader(), data().val_dataloader())]
    files = [path for path in (tmp_path / "cache" / kind).rglob("*") if path.is_file()]
    for path in files:
        held = {one: one.read_bytes() for one in files}
        if how == "cut":
            path.write_bytes(held[path][: len(held[path]) // 2])
        else:
            path.unlink()
        caplog.clear()
        made = data()
        made._collection("dev").texts(["d1"])
        assert [lists_of(loader) for loader in (made.train_dataloader(), made.val_dataloader())] == first
        assert f"{kind}/" in caplog.text, path
        assert "is damaged" in caplog.text
        assert path.read_bytes() == held[path]
    assert len(files) >= 4


def test_another_release_makes_pools_anew(data, counts, monkeypatch):
    data(dev=None)
    monkeypatch.setattr(kept_pools, "__version__", "another")
    data(dev=None)
    assert counts["judged_pool"] == 2


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
    assert [batch.input_ids.tolist() for batch in batches] == [batch.input_ids.tolist() for batch in direct]
    assert [batch.doc_ids for batch in batches] == [batch.doc_ids for batch in direct]


def test_an_error_of_a_batch_reaches_the_training(data, monkeypatch):
    loader = data().train_dataloader()

    def broken(self, lists):
        raise DataError("a damaged batch")

    monkeypatch.setattr(loader.dataset.__class__, "__getitem__", broken)
    with pytest.raises(DataError, match="a damaged batch"):
        list(loader)
