"""TextData: settings from the command line, and bad input named before training."""

import json
import shutil

import pytest
import pytorch_lightning as pl

from ltr.data.lists.sampling import Sampling, subset
from ltr.data.tokens.pairs import load_tokenizer
from ltr.errors import ConfigError, DataError
from tests.data.text_data import N_DEV, At, documents, lists_of


@pytest.mark.parametrize(
    "sampling",
    [
        ["--data.sampling.docs_per_list=5"],
        ['--data.sampling={"class_path": "ltr.data.Sampling", "init_args": {"docs_per_list": 5}}'],
    ],
)
def test_configuration_from_the_command_line(sampling):
    from jsonargparse import ArgumentParser

    parser = ArgumentParser()
    parser.add_subclass_arguments(pl.LightningDataModule, "data")
    sizes = ["--data.lists_per_batch=null", "--data.tokens_per_batch=9"]
    config = parser.parse_args(["--data=ltr.data.TextData", "--data.train=x", *sizes, *sampling])
    made = parser.instantiate(config).data
    assert made.sampling == Sampling(docs_per_list=5)
    assert (made.train, made.tokens_per_batch, made.lists_per_batch) == ("x", 9, None)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"dev_top": 0}, "dev_top must be at least 1, got 0"),
        ({"train_queries": 0}, "train_queries must be at least 1, got 0"),
        ({"dev_queries": -1}, "dev_queries must be at least 1, got -1"),
        ({"train_epoch_lists": 0}, "train_epoch_lists must be at least 1, got 0"),
        ({"eval_tokens_per_batch": 0}, "eval_tokens_per_batch must be at least 1, got 0"),
        ({"seed": -1}, "seed and workers must not be negative, got -1 and 0"),
        ({"tokens_per_batch": 5}, "either lists_per_batch or tokens_per_batch"),
        ({"train": None, "dev": None}, "name a collection to train, dev or test on, got none"),
        ({"tokenizer": None}, "tokenizer is not set; give the model's hub id or folder"),
        ({"max_length": 14}, "leave room for the document"),
        (
            {"teacher": "x"},
            "train_candidates must be null beside it, got train_candidates first and teacher x; set data.train_candidates=null",
        ),
        ({"train_candidates": "bm25", "sampling": Sampling(top=None)}, "BM25 would rank the whole collection"),
        ({"train_epoch_lists": 99}, "train_epoch_lists: an epoch has at most one list per query, 12, got 99"),
    ],
)
def test_settings_that_cannot_work(data, options, sentence):
    with pytest.raises(ConfigError, match=sentence):
        data(**options).train_dataloader()


def test_parts_that_are_not_set(data):
    made = data(train=None)
    with pytest.raises(ConfigError, match="TextData: train is not set; name a collection"):
        made.train_dataloader()
    with pytest.raises(ConfigError, match="TextData: test is not set; name a collection"):
        _ = made.part("test").first


def test_unknown_documents_in_runs_are_named_with_the_file(data, tmp_path):
    run = tmp_path / "bad.trec"
    run.write_text("t1 Q0 d1 1 2.0 x\nt1 Q0 nowhere 2 1.0 x\nv1 Q0 nowhere 1 1.0 x\n")
    for options in ({"train_candidates": str(run)}, {"dev_candidates": str(run)}):
        with pytest.raises(DataError, match=r"bad.trec:2: document nowhere is not in"):
            data(**options)
    with pytest.raises(DataError, match=r"bad.trec:2: document nowhere is not in"):
        data(train_candidates=None, teacher=str(run))


def test_unknown_judged_documents_are_named(data, folder, tmp_path):
    other = shutil.copytree(folder, tmp_path / "other")
    with open(other / "qrels.train.trec", "a") as file:
        file.write("t3 0 nowhere 1\n")
    with pytest.raises(DataError, match="no document with id 'nowhere'"):
        data(train=f"{other}/train")


def test_queries_without_text_are_named(data, folder, tmp_path):
    other = shutil.copytree(folder, tmp_path / "other")
    queries = (other / "queries.tsv").read_text()
    for query_id, options in (("t3", {"train": f"{other}/train"}), ("v2", {"dev": f"{other}/dev"})):
        text = next(line for line in queries.splitlines() if line.startswith(f"{query_id}\t"))
        (other / "queries.tsv").write_text(queries.replace(text, f"{query_id}\t "))
        with pytest.raises(DataError, match=rf"other/\w+: query {query_id} has no text; .*ltr data check"):
            data(**options)


@pytest.mark.parametrize("source", ["first", "bm25"])
def test_half_a_surrogate_pair_in_a_text(data, folder, tmp_path, source):
    other = shutil.copytree(folder, tmp_path / "other")
    lines = (other / "docs.jsonl").read_text().splitlines()
    lines[2] = json.dumps({"doc_id": "d2", "text": "the quick \ud83d"})
    (other / "docs.jsonl").write_text("\n".join(lines) + "\n")
    made = data(train=f"{other}/train", dev=None, train_candidates=source, sampling=Sampling(docs_per_list=None))
    assert "d2" in {doc for docs in lists_of(made.train_dataloader()).values() for doc in docs}


def test_queries_are_stored_as_long_as_they_are_read(data, folder, tokenizer, tmp_path):
    other = shutil.copytree(folder, tmp_path / "other")
    long = " ".join(["fox dog"] * 400)
    queries = (other / "queries.tsv").read_text().splitlines()
    (other / "queries.tsv").write_text("\n".join([f"t0\t{long}", *queries[1:]]) + "\n")
    whole = load_tokenizer(tokenizer)(long, add_special_tokens=False)["input_ids"]
    made = data(train=f"{other}/train", dev=None, max_length=2000, max_query_length=1000, lists_per_batch=12)
    (batch,) = made.train_dataloader()
    ids = next(ids for query_id, _, _, ids, _ in documents(batch) if query_id == "t0")
    assert 512 < len(whole) < 1000
    assert ids[1 : len(whole) + 1] == whole


def test_judged_queries_without_text_are_counted(data, folder, tmp_path, caplog):
    other = shutil.copytree(folder, tmp_path / "other")
    with open(other / "qrels.dev.trec", "a") as file:
        file.write("unknown 0 d1 1\n")
    made = data(dev=f"{other}/dev")
    assert "unknown" not in made.part("dev").qrels
    assert f"{other}/dev: 1 of 7 judged queries are not among its queries and are left out: unknown" in caplog.text


def test_teachers_without_numbers(data, tmp_path):
    run = tmp_path / "nan.trec"
    run.write_text("t1 Q0 d1 1 2.0 x\nt1 Q0 d2 2 nan x\n")
    with pytest.raises(DataError, match=r"nan.trec:2: .*finite.* got 'nan'"):
        data(train_candidates=None, teacher=str(run))


def test_nothing_to_train_or_evaluate_on(data, tmp_path):
    run = tmp_path / "few.trec"
    run.write_text("t1 Q0 d7 1 2.0 x\nv1 Q0 d1 1 1.0 x\n")  # d7 is the relevant one of t1
    with pytest.raises(DataError, match="no query gives a training list: 12 without negatives"):
        data(train_candidates=str(run))
    run.write_text("v0 Q0 d7 1 2.0 x\n")
    with pytest.raises(DataError, match=r"none of its 2 judged queries has candidates from .*few.trec"):
        data(dev_candidates=str(run), dev_queries=2, seed=next(s for s in range(99) if not _chosen(s, {"v0"})))


def _chosen(seed, queries):
    return queries & set(subset([f"v{i}" for i in range(N_DEV)], 2, seed))


def test_too_many_processes(data):
    made = data()
    made.trainer = At(0, 0, 6)
    with pytest.raises(DataError, match="evaluation: each of 6 processes needs a query, got 5 queries"):
        made.val_dataloader()
