"""``ltr fuse`` from the command line."""

import pytest

from ltr.cli.main import main
from ltr.io.trec import Run, read_run, write_run
from ltr.metrics.fusion import fuse


@pytest.fixture
def runs(tmp_path):
    """Two runs of three queries; the second lacks one."""
    first = Run.from_dict({q: {"d1": 3.0, "d2": 2.0, "d3": 1.0} for q in ("q1", "q2", "q3")}, "a")
    second = Run.from_dict({q: {"d3": 9.0, "d4": 1.0} for q in ("q1", "q2")}, "b")
    for run in (first, second):
        write_run(tmp_path / f"{run.name}.trec", run)
    return [str(tmp_path / f"{name}.trec") for name in "ab"]


def test_fuses_by_rank(runs, tmp_path, capsys):
    out = str(tmp_path / "f.trec")
    assert main(["fuse", "--run", *runs, "-o", out]) == 0
    assert "9 of 22 scores are missing: not every run holds every document\n" in capsys.readouterr().out
    assert main(["fuse", "--run", *runs, "-o", out, "--top-k", "2"]) == 0
    expected = fuse([read_run(path) for path in runs]).top(2)
    assert read_run(out)["q1"][0].tolist() == expected["q1"][0].tolist() == ["d3", "d1"]
    assert capsys.readouterr().out == f"{out}: 6 documents for 3 queries; 1 of them stand in some of the runs only\n"


def test_weights_are_chosen_on_other_queries_and_said(runs, tmp_path, capsys):
    (tmp_path / "dev.trec").write_text("q1 0 d4 1\nq2 0 d4 1\n")
    out = str(tmp_path / "f.trec")
    given = ["--tune", *runs, "--qrels", str(tmp_path / "dev.trec"), "-m", "mrr@10"]
    assert main(["fuse", "--run", *runs, "-o", out, "--method", "wsum", *given]) == 0
    shown = capsys.readouterr().out
    assert "weights chosen on" in shown
    weights = [
        float(part.split()[0]) for part in shown.split("chosen on")[1].split(": ")[1].split("  (")[0].split(", ")
    ]
    best = fuse([read_run(path) for path in runs], "wsum", weights=weights)
    assert read_run(out)["q1"][0].tolist() == best["q1"][0].tolist()


@pytest.mark.parametrize(("docs", "told"), [("d1", True), ("x1", False)])
def test_weights_that_were_chosen_on_the_queries_that_are_reported_are_told(runs, tmp_path, caplog, docs, told):
    """q1 stands in both, but is the same question only where it finds the same documents."""
    tune = [str(tmp_path / f"dev.{name}.trec") for name in "ab"]
    for path in tune:
        write_run(path, Run.from_dict({q: {docs: 2.0, "x2": 1.0} for q in ("q1", "q8")}, "a"))
    (tmp_path / "dev.qrels").write_text("q1 0 x2 1\nq8 0 x2 1\n")
    given = ["--tune", *tune, "--qrels", str(tmp_path / "dev.qrels"), "--method", "wsum"]
    assert main(["fuse", "--run", *runs, "-o", str(tmp_path / "f.trec"), *given]) == 0
    warned = "1 of the 3 queries of --run are those of --tune, on which the weights were chosen (q1): figures on them"
    assert (warned in caplog.text) == told


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (["--weights", "1", "2", "--tune", "x", "y"], "--weights and --tune both decide the weights"),
        (["--tune", "x"], "--tune needs a run for each of the 2 of --run, in their order, got 1"),
        (["--qrels", "x"], "--dataset and --qrels are judgements to choose weights by; add --tune"),
        (["--tune", "x", "y"], "give the judgements by --qrels FILE or by --dataset NAME"),
        (["--method", "rank"], "fuse: no method 'rank'"),
        (["--top-k", "0"], "--top-k must be at least 1, got 0"),
    ],
)
def test_errors_are_sentences(runs, tmp_path, capsys, extra, message):
    out = tmp_path / "f.trec"
    assert main(["fuse", "--run", *runs, "-o", str(out), *extra]) == 1
    assert message in capsys.readouterr().err
    assert not out.exists()
