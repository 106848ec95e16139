"""``ltr retrieve`` from the command line."""

import subprocess
import sys

import pytest

from ltr.cli.main import main
from ltr.data.candidates.sources import retrieve
from ltr.data.collections.collection import load
from ltr.io.trec import read_run


def test_writes_a_run(tiny_folder, tmp_path, capsys):
    out = tmp_path / "bm25.trec"
    assert main(["retrieve", "--dataset", f"{tiny_folder}/dev", "-o", str(out), "-k", "2"]) == 0
    run = read_run(out)
    expected = retrieve(load(f"{tiny_folder}/dev"), k=2)
    assert {q: list(docs) for q, docs in run.to_dict().items()} == {q: list(d) for q, d in expected.to_dict().items()}
    shown = capsys.readouterr().out
    assert f"{out}: 2 documents for 2 queries of {tiny_folder}/dev\n" in shown
    assert f"next: ltr evaluate --run {out} --dataset {tiny_folder}/dev" in shown


def test_the_queries_are_not_written_over(tiny_folder, capsys):
    queries = str(tiny_folder / "queries.tsv")
    assert main(["retrieve", "--dataset", str(tiny_folder), "-o", queries, "--queries", queries]) == 1
    assert f"--output {queries} would overwrite an input of this command" in capsys.readouterr().err


def test_queries_are_a_file(tiny_folder, tmp_path, capsys):
    given = ["--dataset", str(tiny_folder), "-o", str(tmp_path / "out.trec"), "--queries", str(tmp_path)]
    assert main(["retrieve", *given]) == 1
    assert f"queries: {tmp_path} is a folder; give a file" in capsys.readouterr().err


def test_own_queries(tiny_folder, tmp_path, capsys):
    (tmp_path / "mine.tsv").write_text("a\tbarking dogs\nb\tzyzzyva\n")
    out = tmp_path / "mine.trec.gz"
    assert (
        main(["retrieve", "--dataset", str(tiny_folder), "-o", str(out), "--queries", str(tmp_path / "mine.tsv")]) == 0
    )
    assert read_run(out)["a"][0].tolist() == ["d2"]
    shown = capsys.readouterr().out
    assert "; queries without a word in common with any document: 1" in shown
    assert "next:" not in shown


def test_nothing_in_common_writes_nothing(tiny_folder, tmp_path, capsys):
    (tmp_path / "mine.tsv").write_text("a\tzyzzyva\nb\tzzz\n")
    out = tmp_path / "mine.trec"
    given = ["--dataset", str(tiny_folder), "-o", str(out), "--queries", str(tmp_path / "mine.tsv")]
    assert main(["retrieve", *given]) == 1
    assert "none of the 2 queries has a word in common with a document of" in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (["-k", "0"], "ltr retrieve: candidates: k must be at least 1, got 0"),
        (["--b", "7"], "ltr retrieve: BM25: b must be between 0 and 1, got 7.0"),
        (["--queries", "nowhere.tsv"], "ltr retrieve: queries: no file nowhere.tsv"),
    ],
)
def test_errors_are_sentences(tiny_folder, tmp_path, capsys, extra, message):
    assert main(["retrieve", "--dataset", str(tiny_folder), "-o", str(tmp_path / "x"), *extra]) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("args", [["retrieve", "--help"], ["data", "--help"], ["data", "check", "--help"]])
def test_help_imports_nothing_heavy(args):
    code = (
        "import sys; from ltr.cli.main import main\n"
        f"try: main({args!r})\nexcept SystemExit: pass\n"
        "heavy = {'torch', 'numpy', 'ir_datasets', 'bm25s', 'pandas', 'transformers'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_retrieving_needs_no_torch(tiny_folder, tmp_path):
    code = (
        "import sys; from ltr.cli.main import main\n"
        f"assert main(['retrieve', '--dataset', {str(tiny_folder)!r}, '-o', {str(tmp_path / 'r.trec')!r}]) == 0\n"
        "assert not {'torch', 'pandas', 'transformers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
