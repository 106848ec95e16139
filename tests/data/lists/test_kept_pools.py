"""Pools and candidates that are kept for the next start: the same as made anew, of the same facts, and mended when damaged."""

import shutil
from dataclasses import asdict

import numpy as np
import pytest

from ltr.data.collections.collection import Collection
from ltr.data.collections.ids import Ids
from ltr.data.lists import kept_pools
from ltr.data.lists.kept_pools import kept_pool
from ltr.data.lists.sampling import Sampling
from ltr.data.text import train_parts
from ltr.errors import ConfigError, DataError
from tests.data.text_data import FIRST, At, lists_of


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LTR_CACHE", str(tmp_path / "cache"))


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


def test_another_analysis_of_terms_makes_pools_anew(data, counts, monkeypatch):
    data(dev=None)
    monkeypatch.setattr(train_parts, "ANALYSIS", -1)
    data(dev=None)
    assert counts["judged_pool"] == 2


def test_ranks_of_a_teacher_that_are_left_out_make_another_pool(data, teacher):
    for skip, top in ((0, 6), (2, 6), (2, 5)):
        made = data(**teacher, sampling=Sampling(docs_per_list=None, skip=skip, top=top))
        ranked = [f"d{j}" for j in range(5, -1, -1)]  # the teacher likes high numbers
        lists = lists_of(made.train_dataloader())
        assert [set(docs) for docs in lists.values()] == [set(ranked[skip:top])] * 3


def test_numbers_of_candidates_are_kept_apart(data, folder):
    for settings in ({}, {"dev_candidates": "bm25", "dev_teacher": str(folder / "run.first.trec")}):
        for top in (5, 3):
            lists = lists_of(data(dev_top=top, **settings).val_dataloader())
            assert {len(docs) for docs in lists.values()} == {top}


@pytest.fixture
def own_folder(folder, tmp_path):
    """A copy of the collection, to be edited."""
    return shutil.copytree(folder, tmp_path / "own")


@pytest.mark.parametrize("how", ["cut", "removed"])
def test_damaged_candidates_of_bm25_are_searched_anew(data, tmp_path, caplog, how):
    settings = {"train": None, "dev_candidates": "bm25", "stage": "validate"}
    first = data(**settings).part("dev").first.to_dict()
    (run,) = (tmp_path / "cache" / "runs").rglob("*.gz")
    run.write_bytes(run.read_bytes()[:40])
    if how == "removed":
        run.unlink()
    shutil.rmtree(tmp_path / "cache" / "candidates")
    assert data(**settings).part("dev").first.to_dict() == first
    assert "is damaged" in caplog.text


def test_edited_judgements_make_other_candidates(data, own_folder):
    dev = f"{own_folder}/dev"
    assert set(lists_of(data(train=None, dev=dev, stage="validate").val_dataloader())) == {f"v{i}" for i in range(5)}
    judged = own_folder / "qrels.dev.trec"
    judged.write_text("".join(line for line in judged.read_text().splitlines(True) if not line.startswith("v3 ")))
    made = data(train=None, dev=dev, stage="validate")
    assert set(lists_of(made.val_dataloader())) == {"v0", "v1", "v2", "v4"}


def test_edited_queries_are_searched_anew(data, own_folder):
    settings = {"train": None, "dev": f"{own_folder}/dev", "dev_candidates": "bm25", "stage": "validate"}
    first = data(**settings).part("dev").first.to_dict()
    queries = own_folder / "queries.tsv"
    lines = ["v2\tpenguins" if line.startswith("v2\t") else line for line in queries.read_text().splitlines()]
    queries.write_text("\n".join(lines) + "\n")
    again = data(**settings).part("dev").first.to_dict()
    assert again.pop("v2") != first.pop("v2")
    assert again == first


def test_what_was_left_out_is_said_at_every_start(data, folder, tmp_path, caplog):
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
