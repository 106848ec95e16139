"""``ltr evaluate`` from files to tables."""

import csv
import io
import json

import pytest

from ltr.cli.main import main
from tests.cli.test_main import imported_by

COMMON = ["ndcg@10", "ndcg_burges@10", "mrr@10", "map", "recall@100", "precision-l2@5", "rbp.95", "bpref"]
RUNS = {"bm25": {"q1": "ab", "q2": "ab", "q3": "ba"}, "ours": {"q1": "ba", "q2": "ba", "q3": "ba"}}


@pytest.fixture
def files(tmp_path):
    for name, ranks in RUNS.items():
        lines = [f"{q} Q0 {d} {i} {2 - i} {name}\n" for q, docs in ranks.items() for i, d in enumerate(docs)]
        (tmp_path / f"{name}.trec").write_text("".join(lines))
    (tmp_path / "qrels.trec").write_text("q1 0 b 1\nq2 0 b 2\nq3 0 b 1\n")
    return tmp_path


def evaluated(files, capsys, *options: str) -> str:
    runs = [str(files / f"{name}.trec") for name in RUNS]
    status = main(["evaluate", "--run", *runs, "--qrels", str(files / "qrels.trec"), *options])
    out, err = capsys.readouterr()
    assert status == 0, err
    return out


def test_text_compares_with_the_first_run(files, capsys):
    lines = evaluated(files, capsys, "-m", "mrr", "precision-l2@1").split("\n")
    assert lines[0].startswith("3 queries; missing from the run (count 0): 0;")
    assert any(line.split()[:2] == ["bm25", "0.6667"] for line in lines)
    assert any(line.split()[:2] == ["ours", "1.0000"] for line in lines)
    assert "Against bm25" in lines


def test_all_formats_and_tests(files, capsys):
    rows = json.loads(evaluated(files, capsys, "-m", "mrr", "--format", "json", "--test", "student", "fisher"))["rows"]
    assert [row["mean"]["value"] for row in rows] == [pytest.approx(2 / 3), 1.0]
    assert rows[1]["p fisher"] == 0.5
    table = evaluated(files, capsys, "-m", "mrr", "--format", "csv", "--no-intervals")
    parsed = list(csv.DictReader(io.StringIO(table)))
    assert [row["mean"] for row in parsed] == ["0.6666666666666666", "1.0"]
    assert "| bm25 |" in evaluated(files, capsys, "-m", "mrr", "--format", "markdown")
    assert "\\begin{tabular}" in evaluated(files, capsys, "-m", "mrr", "--format", "latex")


def test_ids_that_never_meet_stand_above_the_table(files, capsys):
    (files / "upper.trec").write_text("q1 Q0 B 1 1.0 t\nq2 Q0 B 1 1.0 t\nq3 Q0 B 1 1.0 t\n")
    runs = [str(files / "upper.trec"), str(files / "ours.trec")]
    assert (
        main(["evaluate", "--run", *runs, "--qrels", str(files / "qrels.trec"), "-m", "mrr", "-o", str(files / "t")])
        == 0
    )
    header = " ".join((files / "t").read_text().partition("\nrun ")[0].split())
    told = "run upper holds none of the 3 judged documents, and ids such as 'B' and 'b' differ in letter case only"
    assert header.endswith(f"ties: by document id, descending (trec_eval); upper: beware: {told}")


@pytest.mark.parametrize("by", ["ours", "file"])
def test_the_baseline_is_named_by_name_or_file(files, capsys, by):
    baseline = str(files / "ours.trec") if by == "file" else by
    assert "Against ours" in evaluated(files, capsys, "-m", "mrr", "--baseline", baseline)


def test_per_query_values_and_output_go_to_files(files, capsys):
    wanted = [files / "out" / "values.csv", files / "table.txt"]
    out = evaluated(files, capsys, "-m", "mrr", "--per-query", str(wanted[0]), "-o", str(wanted[1]))
    assert out == ""
    assert wanted[0].read_text().split("\n")[:3] == ["query_id,run,mrr", "q1,bm25,0.5", "q1,ours,1.0"]
    assert "Against bm25" in wanted[1].read_text()


def test_judgements_of_a_data_set(files, tiny_folder, capsys):
    assert main(["evaluate", "--run", str(tiny_folder / "run.first.trec"), "--dataset", str(tiny_folder)]) == 0
    assert "first" in capsys.readouterr().out


def test_files_of_one_name_are_told_apart_by_folder(files, capsys):
    for folder in ("x", "y"):
        (files / folder).mkdir()
        (files / folder / "run.trec").write_text((files / "bm25.trec").read_text())
    runs = [str(files / folder / "run.trec") for folder in ("x", "y")]
    assert main(["evaluate", "--run", *runs, "--qrels", str(files / "qrels.trec"), "-m", "mrr"]) == 0
    assert "Against x/run" in capsys.readouterr().out
    (files / "bm25.run").write_text((files / "bm25.trec").read_text())
    runs = [str(files / "bm25.trec"), str(files / "bm25.run")]
    assert main(["evaluate", "--run", *runs, "--qrels", str(files / "qrels.trec"), "-m", "mrr"]) == 0
    assert f"Against {files / 'bm25.trec'}" in capsys.readouterr().out


def test_the_seed_is_that_of_intervals(tmp_path, capsys):
    lines = [f"q{i} Q0 d{rank} {rank} {-rank} t\n" for i in range(40) for rank in range(1, 41)]
    (tmp_path / "run.trec").write_text("".join(lines))
    (tmp_path / "qrels.trec").write_text("".join(f"q{i} 0 d{i + 1} 1\n" for i in range(40)))
    given = ["--run", str(tmp_path / "run.trec"), "--qrels", str(tmp_path / "qrels.trec"), "-m", "mrr"]
    found = []
    for seed in ("0", "0", "1"):
        assert main(["evaluate", *given, "--format", "json", "--seed", seed]) == 0
        found.append(capsys.readouterr().out)
    assert found[0] == found[1] != found[2]


def test_a_run_given_behind_a_second_option_is_not_lost(files, capsys):
    runs = [word for name in RUNS for word in ("--run", str(files / f"{name}.trec"))]
    with pytest.raises(SystemExit):
        main(["evaluate", *runs, "--qrels", str(files / "qrels.trec")])
    assert "argument --run/-r: is given twice; list all values behind one" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--run", "bm25.trec"], "give the judgements by --qrels FILE or by --dataset NAME, one of them; got neither"),
        (["--run", "bm25.trec", "--qrels", "qrels.trec", "--dataset", "pydocs"], "one of them; got both"),
        (["--run", "bm25.trec", "--qrels", "qrels.trec", "-m", "ndgc@10"], "no measure 'ndgc'; did you mean 'ndcg'?"),
        (["--run", "bm52.trec", "--qrels", "qrels.trec"], "run: no file bm52.trec; the folder . holds bm25.trec"),
        (["--run", "bm25.trec", "bm25.trec", "--qrels", "qrels.trec"], "--run lists a file twice: bm25.trec bm25.trec"),
        (["--run", "bm25.trec", "./bm25.trec", "--qrels", "qrels.trec"], "lists a file twice: bm25.trec ./bm25.trec"),
        (["--run", "bm25.trec", "--qrels", "qrels.trec", "--seed", "-1"], "--seed must be at least 0, got -1"),
        (
            ["--run", "bm25.trec", "--qrels", "none", "-o", "./bm25.trec"],
            "--output ./bm25.trec would overwrite an input",
        ),
        (["--run", "bm25.trec", "--qrels", "none", "--per-query", "none"], "--per-query none would overwrite an input"),
        (
            ["--run", "none", "--qrels", "qrels.trec", "--per-query", "x", "-o", "./x"],
            "--per-query x would overwrite what --output writes; give another file",
        ),
        (["--run", "none", "--qrels", "none", "-o", "."], "--output . is a folder; give a file"),
        (["--run", ".", "--qrels", "qrels.trec"], "run: . is a folder; give a file"),
        (["--run", "bm25.trec", "--qrels", "."], "judgements: . is a folder; give a file"),
        (["--run", "", "--qrels", "qrels.trec"], "run: the name of the file is empty; give one"),
        (["--run", "bm25.trec", "--qrels", "none", "-m", "ndgc@10"], "no measure 'ndgc'; did you mean 'ndcg'?"),
        (["--run", "bm25.trec", "--qrels", "bm25.trec"], "bm25.trec:1: a judgement line has 4 fields"),
        (["--run", "qrels.trec", "--qrels", "qrels.trec"], "qrels.trec:1: a run line has 6 fields"),
        (
            ["--run", "bm25.trec", "ours.trec", "--qrels", "qrels.trec", "--baseline", "bm52", "-m", "mrr"],
            "no run 'bm52' to be the baseline; did you mean 'bm25'?",
        ),
    ],
)
def test_mistakes_are_explained(files, capsys, monkeypatch, options, message):
    monkeypatch.chdir(files)
    assert main(["evaluate", *options]) == 1
    err = capsys.readouterr().err
    assert err.startswith("ltr evaluate: ")
    assert message in err


def test_one_run_is_measured_without_anything_heavy(files):
    command = ["evaluate", "--run", str(files / "bm25.trec"), "--qrels", str(files / "qrels.trec"), "-m", *COMMON]
    loaded, out, _ = imported_by(*command)
    assert loaded == set()
    assert "bm25" in out


def test_runs_are_compared_without_a_compiler_or_frames(files):
    runs = [str(files / f"{name}.trec") for name in RUNS]
    loaded, out, _ = imported_by("evaluate", "--run", *runs, "--qrels", str(files / "qrels.trec"), "-m", *COMMON)
    assert loaded == {"scipy"}  # Student's distribution
    assert "Against bm25" in out


def test_a_csv_file_holds_rows_alone_and_its_notes_stand_beside_it(files, capsys):
    target = files / "means.csv"
    evaluated(files, capsys, "-m", "mrr", "--format", "csv", "--no-intervals", "--output", str(target))
    assert target.read_text().startswith("run,measure,mean,")
    assert "baseline: bm25" in (files / "means.notes.txt").read_text()


def test_notes_of_a_csv_table_are_told_where_it_goes_to_the_terminal(files, capsys):
    command = ["evaluate", "--qrels", str(files / "qrels.trec"), "--run", str(files / "bm25.trec"), "-m", "mrr"]
    for options in ([], ["--output", "-"]):
        assert main([*command, "--format", "csv", *options]) == 0
        told = capsys.readouterr()
        assert told.out.startswith("run,measure,mean,")
        assert "baseline: bm25" in told.err
        assert "baseline: bm25" not in told.out


@pytest.mark.parametrize("taken", ["run", "qrels", "per_query"])
def test_the_notes_of_a_csv_file_take_no_other_files_place(files, capsys, taken):
    target = files / "table.notes.txt"
    paths = {"run": files / "bm25.trec", "qrels": files / "qrels.trec", "per_query": files / "values.csv"}
    if taken != "per_query":
        paths[taken].rename(target)
        before = target.read_bytes()
    paths[taken] = target
    named = [word for option, path in paths.items() for word in (f"--{option.replace('_', '-')}", str(path))]
    assert main(["evaluate", *named, "-m", "mrr", "--format", "csv", "--output", str(files / "table.csv")]) == 1
    assert f"the notes of --output {target} would overwrite" in capsys.readouterr().err
    assert not (files / "table.csv").exists()
    if taken == "per_query":
        assert not target.exists()
    else:
        assert target.read_bytes() == before


def test_digits_are_chosen_and_never_below_none(files, capsys):
    lines = evaluated(files, capsys, "-m", "mrr", "--digits", "2", "--no-intervals").split("\n")
    assert any(line.split() == ["ours", "1.00"] for line in lines)
    command = ["evaluate", "--qrels", str(files / "qrels.trec"), "--run", str(files / "bm25.trec")]
    assert main([*command, "--digits", "-1"]) == 1
    assert "--digits must be at least 0, got -1" in capsys.readouterr().err
