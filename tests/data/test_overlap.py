"""What parts share that they should not."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from ltr.data import EngagementData, LetorData, PreferenceData, TextData
from ltr.data.base import RankingData
from ltr.data.collections.collection import load
from ltr.data.overlap import learnt_queries, overlaps, refuse_overlap
from ltr.errors import DataError
from ltr.training.overlap import RefuseOverlap
from tests.cli.feature_files import write_fold
from tests.conftest import write_tiny

FIRST = {"train_candidates": "first", "dev_candidates": "first"}


def found(data):
    return {(one.first, one.second, one.what): (one.shared, one.total) for one in overlaps(data)}


def texts(train, dev, test=None):
    return TextData(str(train), str(dev), None if test is None else str(test), **FIRST)


def test_queries_that_are_trained_on_and_measured(tiny_folder):
    assert found(texts(f"{tiny_folder}/train", f"{tiny_folder}/dev")) == {}
    shared = found(texts(tiny_folder, f"{tiny_folder}/dev", f"{tiny_folder}/dev"))
    both = (2, 2)
    assert shared == {
        ("train", "dev", "queries"): both,
        ("train", "test", "queries"): both,
        ("dev", "test", "queries"): both,
    }
    assert found(texts(f"{tiny_folder}[:50%]", f"{tiny_folder}[50%:]")) == {}
    assert found(texts(f"{tiny_folder}[:75%]", f"{tiny_folder}[50%:]")) == {("train", "dev", "queries"): (1, 2)}


def test_queries_of_the_same_words_under_another_id_are_told(tiny_folder, caplog, monkeypatch):
    with open(tiny_folder / "queries.tsv", "a") as file:
        file.write("q9\tWhere did the CAT sleep?\n")
    with open(tiny_folder / "qrels.dev.trec", "a") as file:
        file.write("q9 0 d1 1\n")
    with open(tiny_folder / "run.first.trec", "a") as file:
        file.write("q9 Q0 d1 1 1.0 first\nq9 Q0 d2 2 0.5 first\n")
    data = texts(f"{tiny_folder}/train", f"{tiny_folder}/dev")
    assert found(data) == {("train", "dev", "query texts"): (1, 3)}
    trainer = SimpleNamespace(datamodule=data, is_global_zero=True)
    RefuseOverlap().setup(trainer, None, "fit")
    assert (
        "1 of dev's 3 query texts (33.3%) are in train too (q9): under another id; what is relevant to them was learnt, so figures "
        "on dev are a little too good; take them out of one of the two"
    ) in caplog.text
    monkeypatch.setattr("ltr.data.overlap.TEXTS", 4)
    assert found(data) == {}


def test_prompts_of_preferences_that_are_trained_on_and_measured(tmp_path):
    def written(name, *prompts):
        records = ({"prompt": p, "chosen": f"{name} {i}", "rejected": "no"} for i, p in enumerate(prompts))
        (tmp_path / name).write_text("\n".join(map(json.dumps, records)))
        return str(tmp_path / name)

    messages = [{"role": "user", "content": "hello"}]
    train = written("train.jsonl", "a", "b", "b", messages)
    dev = written("dev.jsonl", "b", "c", messages)
    data = PreferenceData(train, dev)
    assert found(data) == {("train", "dev", "prompts"): (2, 3)}
    as_text = written("text.jsonl", "hello", "d")
    assert found(PreferenceData(train, as_text)) == {("train", "dev", "prompts"): (1, 2)}, "a message of the user too"
    both = written("both.jsonl", *("hello", messages, "d", "e", messages) * 2)
    assert found(PreferenceData(f"{both}[:50%]", f"{both}[50%:]")) == {}
    with pytest.raises(
        DataError, match=r"2 of dev's 3 prompts \(66.7%\) are in train too \('b', 'hello'\): figures on dev"
    ):
        refuse_overlap(overlaps(data), False, "--allow")
    assert found(PreferenceData(f"{train}[:50%]", f"{train}[50%:]")) == {}


def test_a_subset_of_the_queries_counts_alone(tiny_folder):
    data = TextData(str(tiny_folder), str(tiny_folder), train_queries=2, dev_queries=2, seed=1, **FIRST)
    ids = [set(data.drawn_from(part).query_ids) for part in ("train", "dev")]
    expected = len(ids[0] & ids[1])
    assert found(data) == ({("train", "dev", "queries"): (expected, 2)} if expected else {})


def test_ids_of_two_collections_may_agree_by_chance(tiny_folder, tmp_path):
    other = write_tiny(tmp_path / "other")
    assert found(texts(tiny_folder, other)) == {("train", "dev", "queries"): (4, 4)}, "a copy"
    lines = (other / "queries.tsv").read_text().splitlines()
    (other / "queries.tsv").write_text("\n".join([*(f"{line} today" for line in lines[:3]), lines[3].upper()]) + "\n")
    lines = (other / "queries.tsv").read_text().splitlines()
    (other / "queries.tsv").write_text("\n".join([*lines[:3], f"q4\t{lines[3].partition(chr(9))[2]} !"]) + "\n")
    assert found(texts(tiny_folder, other)) == {("train", "dev", "queries"): (1, 4)}, "case and marks tell none apart"


def table(path, rows):
    path.write_text("\n".join(["list_id,item_id,words,seconds", *rows]) + "\n")
    return str(path)


ROWS = [f"{topic},{item},{words},{seconds}" for topic, item, words, seconds in (
    ("a", "x", 3, 10), ("a", "y", 5, 20), ("b", "x", 3, 30), ("b", "z", 7, 40), ("c", "w", 1, 50), ("c", "v", 2, 60),
)]  # fmt: skip


def test_lines_of_one_file_are_the_same_documents(tmp_path):
    log = table(tmp_path / "log.csv", ROWS)
    copy = table(tmp_path / "copy.csv", ROWS)
    whole = {("train", "dev", "documents"): (6, 6), ("train", "dev", "items"): (5, 5)}
    assert found(EngagementData(log, log)) == found(EngagementData(log, copy)) == whole
    shared = found(EngagementData(f"{log}[:66%]", f"{log}[34%:]"))
    assert shared["train", "dev", "documents"] == (2, 4), "the second of three lists"
    parts = EngagementData(f"{log}[:50%]", f"{log}[50%:]", split_by="items")
    assert set(parts.table("train").query_ids) & set(parts.table("dev").query_ids), "lists are shared, items are not"
    assert found(parts) == {}


def test_items_that_recur_in_other_lists_are_told_and_not_refused(tmp_path):
    train, dev = table(tmp_path / "train.csv", ROWS[:2]), table(tmp_path / "dev.csv", ROWS[2:])
    (one,) = overlaps(EngagementData(train, dev))
    assert (one.what, one.shared, one.total, one.spoils) == ("items", 1, 4, False)
    assert str(one) == (
        "1 of dev's 4 items (25.0%) are in train too (x): a scorer that has seen an item in training looks better on it "
        "than it is; split by items: data.split_by=items (split_by: items in a configuration)"
    )
    assert refuse_overlap([one], False, "--it") == [str(one)]
    (one,) = overlaps(EngagementData(train, dev, split_by="items"))
    assert "take shares of one file" in one.remedy


def test_documents_of_two_files_are_the_same_where_all_numbers_are(tmp_path):
    log = table(tmp_path / "log.csv", ROWS)
    later = [row.rpartition(",")[0] + f",{99 + i}" for i, row in enumerate(ROWS)]
    assert ("train", "dev", "documents") not in found(EngagementData(log, table(tmp_path / "later.csv", later))), (
        "the same items in the same lists at another time"
    )
    some = [*later[:5], ROWS[5]]
    shared = overlaps(EngagementData(log, table(tmp_path / "some.csv", some)))[0]
    assert (shared.shared, shared.examples) == (1, ("c v",))
    moved = [row.replace("a,", "d,") if row.startswith("a,") else row for row in ROWS]
    assert found(EngagementData(log, table(tmp_path / "moved.csv", moved)))["train", "dev", "documents"] == (4, 6)


def svmlight(path, lists):
    path.write_text("".join(f"{grade} qid:{q} 1:{a} 2:{b}\n" for q, docs in lists.items() for grade, a, b in docs))
    return str(path)


def test_documents_without_ids_are_the_same_where_whole_lists_are(tmp_path):
    one = svmlight(tmp_path / "one.txt", {1: [(0, 0, 0), (1, 5, 0)], 2: [(0, 0, 0), (2, 1, 1)], 3: [(0, 0, 0)]})
    chance = svmlight(tmp_path / "chance.txt", {1: [(0, 0, 0), (1, 0, 5)], 2: [(0, 0, 0), (2, 9, 1)], 3: [(0, 0, 0)]})
    assert found(LetorData(one, chance)) == {}
    same = svmlight(tmp_path / "same.txt", {2: [(2, 1, 1), (0, 0, 0)], 7: [(0, 0, 0), (1, 5, 0)]})
    assert found(LetorData(one, same)) == {("train", "dev", "documents"): (2, 4)}
    longer = svmlight(tmp_path / "longer.txt", {4: [(0, 0, 0), (1, 2, 3)]}) + ""
    assert found(LetorData(one, longer)) == {}


def test_a_fold_whose_files_number_their_lists_alike_shares_nothing(tmp_path):
    assert found(LetorData(fold=str(write_fold(tmp_path / "Fold1")))) == {}


def test_a_module_of_another_class_is_left_alone():
    assert overlaps(RankingData(train="a", dev="a")) == []


def test_many_documents_take_no_loop(tmp_path):
    """Hashes of 200,000 rows in lists of both files; rows that differ in one bit differ."""
    from ltr.data.features.table import FeatureTable
    from ltr.data.overlap import _shared

    rng = np.random.default_rng(0)
    n = 200_000
    offsets = np.arange(0, n + 1, 100)
    ids = [f"q{i}" for i in range(n // 100)]
    features = rng.integers(0, 2, (n, 12)).astype(np.float32)
    names = np.array([f"d{i}".encode() for i in range(n)], "S8")
    one = FeatureTable("one", features, rng.normal(size=n), offsets, ids, np.arange(n), names, digest="1")
    flipped = features.copy()
    flipped[::2, 3] = 1 - flipped[::2, 3]
    other = FeatureTable("other", flipped, one.labels, offsets, ids, np.arange(n), names, digest="2")
    assert np.flatnonzero(_shared(one, other)).tolist() == list(range(1, n, 2))


def test_a_training_that_would_be_measured_on_what_it_learnt_is_refused(tiny_folder, caplog):
    data = texts(tiny_folder, f"{tiny_folder}/dev")
    trainer = SimpleNamespace(datamodule=data, is_global_zero=True)
    with pytest.raises(DataError) as refused:
        RefuseOverlap().setup(trainer, None, "fit")
    assert str(refused.value) == (
        f"2 of dev's 2 queries (100.0%) are in train too (q3, q4): figures on dev would be too good; take shares that have "
        f"no query in common, such as {tiny_folder}[:80%] and {tiny_folder}[80%:], or another collection; if it is meant to "
        "be so: --allow_overlap=true"
    )
    RefuseOverlap().setup(trainer, None, "test")
    RefuseOverlap(allowed=True).setup(trainer, None, "fit")
    assert "2 of dev's 2 queries (100.0%) are in train too" in caplog.text


def test_queries_of_one_id_are_learnt_where_they_say_the_same(tmp_path):
    for name, text in (("one", "What is it?"), ("again", "what is it"), ("other", "who is it?")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "docs.jsonl").write_text('{"doc_id": "d", "text": "it"}\n')
        (tmp_path / name / "queries.tsv").write_text(f"1\t{text}\n")
        (tmp_path / name / "qrels.trec").write_text("1 0 d 1\n")
    one = load(tmp_path / "one")
    assert learnt_queries(one, [str(tmp_path / "again"), str(tmp_path / "gone")]) == ["1"]
    assert learnt_queries(one, [str(tmp_path / "other")]) == []
