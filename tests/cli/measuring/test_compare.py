"""``ltr compare`` from run files to tables and pages."""

from __future__ import annotations

import json
import re
import sys

import pytest

from ltr.cli.main import main
from tests.cli.measuring.test_evaluate import files  # noqa: F401


def compared(capsys, *options: str) -> tuple[str, str]:
    status = main(["compare", *options])
    out, err = capsys.readouterr()
    assert status == 0, err
    return out, err


@pytest.fixture
def runs(tiny_folder):
    """Two runs beside the tiny collection: its first stage, and one that ranks the other way round."""
    first = tiny_folder / "run.first.trec"
    lines = [line.split() for line in first.read_text().splitlines()]
    (tiny_folder / "turned.trec").write_text("".join(f"{q} Q0 {d} 1 {20 - float(s)} t\n" for q, _, d, _, s, _ in lines))
    return [str(first), str(tiny_folder / "turned.trec")]


def test_it_prints_tables_and_the_biggest_differences(files, capsys):  # noqa: F811
    paths = [str(files / f"{name}.trec") for name in ("bm25", "ours")]
    out, _ = compared(
        capsys, *paths, "--qrels", str(files / "qrels.trec"), "-m", "mrr", "ndcg@10", "--differences", "1"
    )
    assert "Against bm25" in out
    rows = out.partition("Biggest differences in mrr against bm25\n")[2].splitlines()
    assert rows[0].split() == ["run", "query", "bm25", "the", "run", "difference"]
    assert [row.split() for row in rows[2:]] == [["ours", "q1", "0.5000", "1.0000", "0.5000"]]


def test_the_texts_of_a_data_set_stand_beside_its_queries(runs, tiny_folder, capsys):
    out, _ = compared(capsys, *runs, "--dataset", str(tiny_folder), "-m", "mrr", "--baseline", "turned")
    assert "Biggest differences in mrr against turned" in out
    assert re.search(r"first +q3 +join paths +0\.3333 +1\.0000 +0\.6667", out)
    assert re.search(r"first +q2 +multiply matrices +1\.0000 +0\.5000 +-0\.5000", out)


def test_a_page_holds_texts_labels_and_what_was_asked(runs, tiny_folder, capsys):
    target = tiny_folder / "out" / "page.html"
    out, err = compared(
        capsys, *runs, "--dataset", str(tiny_folder), "-m", "mrr", "map", "--html", str(target), "--depth", "2"
    )
    assert (out, err) == ("", f"page: {target}\n")
    html = target.read_text()
    told = json.loads(re.search(r'<script type="application/json">(.*?)</script>', html, re.DOTALL)[1])
    assert told["systems"] == ["first", "turned"]
    assert told["measures"] == ["mrr", "map"]
    assert told["texts"][told["ids"].index("q3")] == "join paths"
    assert ["d5", "Paths Join two paths with a slash."] in told["documents"]
    ranked = told["rankings"][str(told["ids"].index("q3"))]["0"]
    assert [(told["documents"][n][0], score, label) for n, score, label in ranked] == [("d5", 9, 1), ("d6", 8, None)]
    assert "<h1>turned against first</h1>" in html
    assert "4 judged queries of tiny" in html
    assert re.search(r"<code>data [0-9a-f]{16}; ltr \S+; 4 queries;", html)
    assert f"dataset: {tiny_folder}" in html
    assert "tests:\n- student" in html


def test_a_page_without_a_collection_is_signed_by_its_judgements(files, capsys):  # noqa: F811
    paths = [str(files / f"{name}.trec") for name in ("bm25", "ours")]
    qrels = files / "qrels.trec"
    signatures = []
    for text in (qrels.read_text(), "".join(reversed(qrels.read_text().splitlines(keepends=True))), "q1 0 b 2\n"):
        qrels.write_text(text)
        compared(capsys, *paths, "--qrels", str(qrels), "-m", "mrr", "--html", str(files / "page.html"))
        html = (files / "page.html").read_text()
        signatures.append(re.search(r"<code>judgements ([0-9a-f]{16});", html)[1])
    assert signatures[0] == signatures[1] != signatures[2]
    assert "judged queries of qrels.trec" in html


def test_without_matplotlib_it_says_so_before_it_reads(files, capsys, monkeypatch):  # noqa: F811
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert main(["compare", "no.run", "nothing.run", "--qrels", "x", "--html", "page.html"]) == 1
    assert "matplotlib is needed to draw, and is not installed: pip install 'ltr[plot]'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["bm25.trec", "--qrels", "qrels.trec"],
            "two or more runs are compared, got one: bm25.trec; ltr evaluate --run",
        ),
        (
            ["bm25.trec", "ours.trec"],
            "give the judgements by --qrels FILE or by --dataset NAME, one of them; got neither",
        ),
        (["bm25.trec", "ours.trec", "--qrels", "qrels.trec", "-m", "ndgc"], "no measure 'ndgc'; did you mean 'ndcg'?"),
        (["bm25.trec", "uors.trec", "--qrels", "qrels.trec"], "no file uors.trec; the folder . holds"),
        (["bm25.trec", "bm25.trec", "--qrels", "qrels.trec"], "ltr compare lists a file twice: bm25.trec bm25.trec"),
        (["bm25.trec", "ours.trec", "--qrels", "qerls.trec"], "no file qerls.trec"),
        (
            ["bm25.trec", "ours.trec", "--qrels", "q", "--html", "q"],
            "--html q would overwrite an input of this command",
        ),
        (["bm25.trec", "ours.trec", "--qrels", "qrels.trec", "--seed", "-1"], "--seed must be at least 0, got -1"),
        (["bm25.trec", "ours.trec", "--qrels", "qrels.trec", "--depth", "0"], "--depth must be at least 1, got 0"),
        (
            ["bm25.trec", "ours.trec", "--qrels", "qrels.trec", "--differences", "-1"],
            "--differences must be at least 1, got -1",
        ),
        (
            ["bm25.trec", "ours.trec", "--qrels", "qrels.trec", "--baseline", "our", "-m", "mrr"],
            "no run 'our' to be the baseline; did you mean 'ours'?",
        ),
        (["bm25.trec", "ours.trec", "--dataset", "pydosc"], "no collection 'pydosc': did you mean 'pydocs'?"),
    ],
)
def test_mistakes_are_explained(files, capsys, monkeypatch, options, message):  # noqa: F811
    monkeypatch.chdir(files)
    assert main(["compare", *options]) == 1
    err = capsys.readouterr().err
    assert err.startswith("ltr compare: ")
    assert message in err


def test_documents_that_the_collection_lacks_are_named(runs, tiny_folder, capsys):
    with open(runs[1], "a") as file:
        file.write("q9 Q0 ghost 1 1.0 t\n")
    (tiny_folder / "turned.trec").write_text("q1 Q0 ghost 1 1.0 t\nq2 Q0 d3 1 1.0 t\n")
    assert (
        main(["compare", *runs, "--dataset", str(tiny_folder), "-m", "mrr", "--html", str(tiny_folder / "p.html")]) == 1
    )
    assert "no document with id 'ghost'" in capsys.readouterr().err
