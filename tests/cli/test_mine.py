"""``ltr mine`` from the command line."""

import pandas as pd
import pytest

from ltr.cli.main import main
from ltr.io.trec import read_run


@pytest.fixture
def given(tiny_folder):
    return ["mine", "--dataset", f"{tiny_folder}/train", "--run", "first", "--skip", "0"]


def test_writes_what_the_endings_ask_for(given, tmp_path, capsys):
    paths = [str(tmp_path / name) for name in ("m.trec", "m.tsv.gz", "m.tsv", "m.parquet")]
    assert main([*given, "--output", *paths]) == 0
    assert read_run(paths[0]).to_dict() == {"q1": {"d6": 7.0}, "q2": {"d3": 9.0}}
    assert (tmp_path / "m.tsv").read_text() == "q1\td1\td6\nq1\td2\td6\nq2\td4\td3\n"
    shown = capsys.readouterr().out
    assert "5 candidates of 2 queries with relevant documents\n" in shown
    assert "  fell to judged relevant                  3   60.0%\n" in shown
    assert f"{paths[3]}: 2 negatives for 2 queries of" in shown
    assert f"--data.train_candidates={paths[0]}" in shown


def test_sentence_transformers_reads_the_texts(given, tmp_path):
    path = tmp_path / "m.parquet"
    assert main([*given, "--output", str(path)]) == 0
    table = pd.read_parquet(path)
    assert list(table.columns) == ["anchor", "positive", "negative"]
    assert table.iloc[2].tolist() == [
        "multiply matrices",
        "Matrix product Multiply two matrices, row by column.",
        "A sparse matrix holds mostly zeros.",
    ]


def test_the_same_seed_gives_the_same_bytes(given, tmp_path):
    written = []
    for name in "ab":
        paths = [tmp_path / f"{name}.{end}" for end in ("trec.gz", "tsv", "parquet")]
        assert main([*given, "--per-query", "1", "--seed", "5", "--output", *map(str, paths)]) == 0
        written.append([path.read_bytes() for path in paths])
    assert written[0][1:] == written[1][1:]
    assert written[0][0] == written[1][0]


def test_queries_with_too_few_are_told(given, tmp_path, capsys):
    assert main([*given, "--per-query", "3", "--output", str(tmp_path / "m.tsv")]) == 0
    shown = capsys.readouterr().out
    assert "2 queries with fewer than 3 negatives: they keep what they have (q1, q2)\n" in shown


def test_relevant_documents_that_the_collection_lacks_are_told_and_stand_in_no_triple(
    given, tiny_folder, tmp_path, capsys
):
    with open(tiny_folder / "qrels.train.trec", "a") as file:
        file.write("q1 0 gone 1\n")
    paths = [str(tmp_path / name) for name in ("m.tsv", "m.parquet")]
    assert main([*given, "--output", *paths]) == 0
    assert (tmp_path / "m.tsv").read_text() == "q1\td1\td6\nq1\td2\td6\nq2\td4\td3\n"
    assert "1 relevant documents are not in the collection: they are left out (gone)\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (["--output", "m.csv"], "--output m.csv: what is written follows from its ending: .trec, .trec.gz, .tsv"),
        (["--output", "m.tsv", "m.tsv"], "--output names a file twice: m.tsv m.tsv"),
        (["--output", "m.tsv", "--margin", "1"], "mine: margin compares a teacher's scores, and none is named"),
        (["--output", "m.tsv", "--skip", "100"], "mine: needs 0 <= skip < depth, got skip 100 and depth 100"),
        (["--output", "m.tsv", "--teacher", "nowhere"], "candidates: 'nowhere' is no file and no known source"),
    ],
)
def test_errors_are_sentences(given, tmp_path, monkeypatch, capsys, extra, message):
    monkeypatch.chdir(tmp_path)
    assert main([*given, *extra]) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "m.tsv").exists()
