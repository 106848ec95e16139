"""The lists of students of a retriever: what they hold, which queries, and what is told of them."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from tests.tiny_model import WORDS, tiny_model  # noqa: F401

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def script():
    """The benchmark as a module."""
    spec = importlib.util.spec_from_file_location(
        "retrieval_distillation", ROOT / "benchmarks/quality/retrieval_distillation.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def collection(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("col") / "small"
    folder.mkdir()
    rng = np.random.default_rng(0)
    words = [word for word in WORDS if len(word) > 2]
    docs = [{"doc_id": f"d{i}", "title": "", "text": " ".join(rng.choice(words, 5))} for i in range(30)]
    (folder / "docs.jsonl").write_text("".join(json.dumps(one) + "\n" for one in docs))
    ids = [f"q{i}" for i in range(220)]
    (folder / "queries.tsv").write_text("".join(f"{q}\t{' '.join(rng.choice(words, 3))}\n" for q in ids))
    for name, own in (("train", ids[:200]), ("dev", ids[200:])):
        (folder / f"qrels.{name}.trec").write_text("".join(f"{q} 0 d{rng.integers(30)} 1\n" for q in own))
    return folder


@pytest.fixture(scope="module")
def written(script, collection, tiny_model, tmp_path_factory):  # noqa: F811
    output = tmp_path_factory.mktemp("students")
    sizes = ["--queries=50", "--dev-queries=4", "--candidates=5", "--max-length=24"]
    models = [f"--plain={tiny_model}", f"--teacher={tiny_model}"]
    script.main([f"--data={collection}", *models, *sizes, f"--output={output}", f"--results={output}/lists.json"])
    tables = {part: pd.read_parquet(output / f"{part}.parquet") for part in script.PARTS}
    return tables, json.loads((output / "lists.json").read_text())


def test_parts_share_no_query_and_lists_are_whole(written):
    tables, _ = written
    held = {part: list(table["list_id"]) for part, table in tables.items()}
    assert [len(set(ids)) for ids in held.values()] == [50, 4, 20]
    assert len(set().union(*held.values())) == 74
    for table in tables.values():
        assert (table.groupby("list_id")["item_id"].nunique() == 5).all()


def test_a_teacher_that_is_the_student_says_what_its_products_sum_to(script, written):
    tables, _ = written
    for table in tables.values():
        cosines = table.filter(regex=r"^p\d+$").to_numpy().sum(1)
        np.testing.assert_allclose(np.log1p(table["teacher"]) / script.SCALE, np.maximum(cosines, 0), atol=2e-3)


def test_what_the_lists_allow_is_told(written):
    _, told = written
    means = told["yardsticks"]["means"]
    assert means["teacher, on the lists"] == means["zero-shot, on the lists"]
    assert means["teacher"]["recall@1"] <= means["teacher"]["ndcg@10"] <= 1
    assert told["yardsticks"]["power"]["queries"] == 20
    assert told["test"]["documents"] == 100
    assert told["queries"] == 50


def test_the_teacher_judges_with_its_own_vectors_what_the_student_found(script):
    """Two queries, three documents of two numbers; teacher and student see them otherwise."""

    def vectors(queries, docs):
        encoding = SimpleNamespace(queries=lambda texts, ids: np.array(queries, np.float32))
        rows = np.array([[2, 0], [1, 2]])  # what is found, whoever looks
        return SimpleNamespace(
            encoding=encoding,
            docs=np.array(docs, np.float32),
            ids=np.array(["a", "b", "c"]),
            found=lambda q, k: (rows, None),
        )

    plain = vectors([[1, 0], [0, 1]], [[0.5, 0.1], [0.2, 0.3], [0.7, 0.4]])
    teacher = vectors([[0.6, 0.8], [0.8, 0.6]], [[1, 0], [0, 1], [0.6, 0.8]])
    table = script.lists(plain, teacher, SimpleNamespace(queries={"x": "", "y": ""}), ["x", "y"], 2)
    assert table["list_id"].tolist() == ["x", "x", "y", "y"]
    assert table["item_id"].tolist() == ["c", "a", "b", "c"]
    np.testing.assert_allclose(table[["p1", "p2"]], [[0.7, 0], [0.5, 0], [0, 0.3], [0, 0.4]], atol=1e-6)
    np.testing.assert_allclose(np.log1p(table["teacher"]), [20, 12, 12, 19.2], rtol=1e-5)
