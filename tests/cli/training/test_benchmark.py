"""``ltr benchmark``: what it prints, refuses, runs and writes."""

import json
import re
import shlex
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import yaml

from ltr.cli.main import main
from ltr.cli.training import benchmark, fit
from ltr.experiments.cells.runner import run
from ltr.experiments.cells.store import Store
from ltr.experiments.publishing.winner import winner, write_commands
from ltr.experiments.spec.reading import read_spec
from ltr.expressions import text_of
from ltr.io.runs import Run
from ltr.metrics import evaluate
from tests.experiments.here import Here
from tests.experiments.pretend import Pretend, judged
from tests.experiments.specs import content, write

WRITTEN = (
    "results.txt",
    "results.md",
    "results.tex",
    "results.csv",
    "results.notes.txt",
    "results.json",
    "per_seed.csv",
    "report.html",
)


@pytest.fixture
def values(tiny_folder, tiny_model, tmp_path):
    return content(tiny_folder, tiny_model, tmp_path / "runs")


@pytest.fixture
def spec(values, tmp_path):
    return write(tmp_path / "spec.yaml", values)


@pytest.fixture
def ltr(capsys, spec):
    """Runs the command on the spec: its status, output and errors."""

    def act(*options):
        status = main(["benchmark", str(spec), *options])
        return (status, *capsys.readouterr())

    return act


@pytest.fixture
def runs_here(monkeypatch):
    """Cells run as the executor says, not in worker processes."""
    return lambda executor: monkeypatch.setattr(benchmark, "_executor", lambda *_: executor)


def test_print_config_reads_back_to_the_same_spec(ltr, spec, tmp_path):
    status, out, err = ltr("--print-config")
    assert (status, err) == (0, "")
    again = tmp_path / "again.yaml"
    again.write_text(out)
    assert read_spec(again) == read_spec(spec)
    assert not (tmp_path / "runs").exists()


def test_settings_change_on_the_command_line_in_both_forms(ltr, tmp_path):
    changes = ["seeds=1", "tuning.trials=1", "trainer.max_epochs=1", "data.toy.init_args.max_length=24"]
    _, long, _ = ltr("--print_config", *(f"--{text}" for text in changes))
    _, short, _ = ltr("--print_config", "--set", *changes)
    assert long == short
    found = yaml.safe_load(long)
    assert (found["seeds"], found["tuning"]["trials"], found["trainer"]["max_epochs"]) == ([0], 1, 1)
    assert found["data"]["toy"]["init_args"]["max_length"] == 24
    for mixed in (
        ["--set", *changes[:2], *(f"--{text}" for text in changes[2:])],
        [f"--{changes[0]}", f"--set={changes[1]}", "--set", *changes[2:], "--folder", str(tmp_path / "runs")],
    ):
        assert ltr("--print_config", *mixed)[1] == long, "no --set takes the place of another"


def test_the_folder_can_be_chosen(ltr):
    assert yaml.safe_load(ltr("--print-config", "--folder", "elsewhere")[1])["folder"] == "elsewhere"
    assert yaml.safe_load(ltr("--print-config", "--folder=a=b")[1])["folder"] == "a=b"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--tuning.trials", "3"], r"--tuning.trials: settings of the spec are written --tuning.trials=VALUE"),
        (["--seeds"], "--seeds: settings of the spec are written --seeds=VALUE"),
        (["--set", "seeds"], "--set seeds: settings of the spec are written seeds=VALUE"),
        (["--tuning.trails=3"], r"tuning has no 'trails'; did you mean 'trials'"),
        (["--data.toi.init_args.max_length=24"], r"there is no data.toi; did you mean 'toy'"),
        (["--workers", "0"], "--workers must be at least 1, got 0"),
        (["--workers", "0", "--dry-run"], "--workers must be at least 1, got 0"),
        (["--workers", "-2", "--report"], "--workers must be at least 1, got -2"),
        (["--workers", "0", "--ray", "local"], "--workers must be at least 1, got 0"),
    ],
)
def test_what_cannot_be_is_refused(ltr, options, said, tmp_path):
    status, out, err = ltr(*options)
    assert (status, out) == (1, "")
    assert re.search(said, err)
    assert err.startswith("ltr benchmark: ")
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("option", ["--wrokers=2", "--nonsense"])
def test_options_that_do_not_exist_are_refused(ltr, option, capsys):
    with pytest.raises(SystemExit) as stop:
        ltr(option)
    assert stop.value.code == 2
    assert f"no option {option.partition('=')[0]}; " in capsys.readouterr().err


def test_without_a_spec_it_gives_a_hint(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["benchmark"])
    assert stop.value.code == 2
    assert "name a spec, such as configs/benchmarks/quick.yaml" in capsys.readouterr().err


def test_a_spec_that_is_not_there(capsys):
    assert main(["benchmark", "none.yaml"]) == 1
    assert "benchmark spec: no file" in capsys.readouterr().err


def test_a_dry_run_prints_the_plan_and_runs_nothing(ltr, tmp_path):
    status, out, _ = ltr("--dry-run", "--workers", "2", "--tuning.trials=1")
    assert status == 0
    assert "Plan of tiny" in out
    assert "4 cells, 0 of them finished; monitor dev/mrr@10" in out
    assert re.search(r"about \d+ s with 2 cells at a time", out)
    assert out.count("3 timed steps") == 2
    assert not (tmp_path / "runs" / "cells").exists()


def test_a_report_of_nothing_says_what_is_missing(ltr, tmp_path):
    status, out, _ = ltr("--report")
    assert status == 0
    for loss in ("ListNet", "Selective"):
        assert f"not finished: toy · tiny · {loss}: 2 of 2 trials and seeds 0, 1 not run yet" in out
    for name in WRITTEN:
        assert (tmp_path / "runs" / name).exists()
    assert "2 of 2 trials and seeds 0, 1 not run yet" in (tmp_path / "runs" / "report.html").read_text()
    assert not (tmp_path / "runs" / "cells").exists()


def test_a_benchmark_that_was_stopped_can_be_reported_and_goes_on(ltr, runs_here, tmp_path):
    truth = {"toy": judged()}
    runs_here(Pretend(truth, stop_after=5))
    status, _, err = ltr()
    assert status == 130
    assert "ltr benchmark: interrupted" in err
    status, out, _ = ltr("--report")
    assert status == 0
    assert "not finished: toy · tiny · ListNet: seeds 1 not run yet" in out
    assert "not finished: toy · tiny · Selective: seeds 0, 1 not run yet" in out
    assert re.search(r"^ListNet +\d\.\d{4}", (tmp_path / "runs" / "results.txt").read_text(), re.MULTILINE)
    rest = Pretend(truth)
    runs_here(rest)
    status, out, _ = ltr()
    assert status == 0
    assert len(rest.ran) == 3
    assert "not finished" not in out
    assert "8 cells, 5 of them finished before; 1 at a time" in out


def test_a_failed_cell_stands_below_the_table(ltr, runs_here, tmp_path):
    runs_here(Pretend({"toy": judged()}, fails=["Selective · seed 1"]))
    status, out, _ = ltr()
    assert status == 1, "a script shall notice"
    assert out.splitlines()[-1] == "incomplete   1 of its cells failed; the same command tries them again"
    assert re.search(r"^ListNet +\d\.\d{4}", (tmp_path / "runs" / "results.txt").read_text(), re.MULTILINE)
    assert "failed: toy · tiny · Selective · seed 1: it was to fail" in out
    told = json.loads((tmp_path / "runs" / "results.json").read_text())
    assert told["failures"] == [["toy · tiny · Selective · seed 1", "it was to fail"]]


def test_a_report_tells_of_failed_cells_and_is_no_failure(ltr, runs_here):
    runs_here(Pretend({"toy": judged()}, fails=["Selective · trial"]))
    status, out, _ = ltr()
    assert status == 1
    assert out.splitlines()[-1].startswith(
        "incomplete   2 of its cells failed and 1 of its parts could not be measured;"
    )
    status, out, _ = ltr("--report")
    assert status == 0
    assert "failed: toy · tiny · Selective · trial 0: it was to fail" in out
    assert "toy · tiny · Selective: all 2 trials failed, so no seed was trained" in out


def test_a_test_part_that_is_dev_is_told_and_queries_of_train_are_refused(ltr, runs_here, tmp_path, tiny_folder):
    runs_here(Pretend({"toy": judged()}))
    status, out, _ = ltr("--tuning.trials=1")
    assert status == 0
    assert "! toy: 2 of test's 2 queries (100.0%) are in dev too (q3, q4): the weights are chosen by dev" in out
    leak = f"--data.toy.init_args.test={tiny_folder}/train"
    status, _, err = ltr("--dry-run", "--tuning.trials=1", leak, "--folder", str(tmp_path / "other"))
    assert status == 1
    assert "ltr benchmark: toy: 2 of test's 2 queries (100.0%) are in train too (q1, q2): figures on test" in err
    assert "if it is meant to be so: allow_overlap: true in the spec, or --allow_overlap=true" in err
    runs_here(Pretend({"toy": judged()}))
    status, out, _ = ltr("--tuning.trials=1", leak, "--folder", str(tmp_path / "other"), "--allow_overlap=true")
    assert status == 0
    assert "! toy: 2 of test's 2 queries (100.0%) are in train too" in out


def test_a_whole_benchmark_writes_its_results(ltr, runs_here, tmp_path, spec):
    runs_here(Here())
    status, out, err = ltr("--tuning.trials=1", "--trainer.max_epochs=1", "--data.toy.init_args.max_length=24")
    assert status == 0, err
    folder = tmp_path / "runs"
    assert "[4/4] toy · tiny · Selective · seed 1: dev/mrr@10 " in out
    assert f"report       {folder / 'report.html'}" in out
    for name in WRITTEN:
        assert (folder / name).stat().st_size > 100, name
    assert (folder / "results.txt").read_text().strip().split("\n\n")[0] in out
    assert "\\begin{tabular}" in (folder / "results.tex").read_text()
    assert re.search(r"^\| ListNet +\|", (folder / "results.md").read_text(), re.MULTILINE)
    table = pd.read_csv(folder / "results.csv")
    assert set(table["system"]) == {"first stage", "ListNet", "Selective"}
    assert set(table["measure"]) == {"mrr@10", "ndcg@10"}
    told = json.loads((folder / "results.json").read_text())
    assert (told["missing"], told["failures"]) == ([], [])
    assert {c["system"] for c in told["chosen"]} == {"ListNet", "Selective"}
    assert "ListNet" in (folder / "report.html").read_text()
    check_values(folder, pd.read_parquet(folder / "per_query.parquet"), pd.read_csv(folder / "per_seed.csv"))
    (words,) = [shlex.split(line.removeprefix("next")) for line in out.splitlines() if line.startswith("next ")]
    assert words[:4] == ["ltr", "fit", "--config", f"{folder}/fit-toy.yaml"]
    made = fit.build([*words[2:], "--trainer.enable_progress_bar=false"])
    assert (made.datamodule.max_length, made.run_folder.monitor) == (24, "mrr@10")
    assert text_of(made.model.loss, explicit=True) in {one["loss"] for one in told["chosen"]}


def test_the_command_that_is_told_last_trains_what_dev_liked_best(values, tmp_path):
    """With what was tuned of it, and without losing to those that only the test part likes."""
    values |= {"model": {"head_lr": "10x"}, "trainer": {"max_epochs": 1}, "patience": 2}
    spec = read_spec(write(tmp_path / "spec.yaml", values))
    groups = run(spec, Pretend({"toy": judged()}), lambda _: None)
    means = {g.loss_name: np.mean([cell.value for cell in g.seeds.values()]) for g in groups}
    best = max(groups, key=lambda g: means[g.loss_name])
    assert winner(spec, groups) is best
    least = min(groups, key=lambda g: means[g.loss_name])
    assert winner(replace(spec, monitor="rmse"), groups) is least is not best
    (words,) = write_commands(spec, groups)
    held = yaml.safe_load((tmp_path / "runs" / "fit-toy.yaml").read_text())
    rate = best.chosen["lr"]
    assert words[4:] == [f"--model.loss={best.final().loss}", f"--model.lr={rate:.6g}", "--run.folder=runs/tiny-toy"]
    assert held["model"]["head_lr"] == pytest.approx(10 * rate)
    assert "lr" not in held["model"]
    assert held["run"] == {"monitor": "mrr@10", "patience": 2}
    assert held["data"]["init_args"]["train"] == values["data"]["toy"]["init_args"]["train"]
    for group in groups:
        group.seeds.clear()
    assert write_commands(spec, groups) == []


def test_choices_of_a_rate_that_are_told_by_another_reach_the_command_as_numbers(values, tmp_path):
    values["tuning"] = {
        "trials": 2,
        "search": {"head_lr": {"choices": ["4x", "10x"]}, "weight_decay": {"choices": [0.1234567]}},
    }
    values["model"] = {"lr": 0.00025}
    spec = read_spec(write(tmp_path / "spec.yaml", values))
    groups = run(spec, Pretend({"toy": judged()}), lambda _: None)
    (words,) = write_commands(spec, groups)
    best = winner(spec, groups).chosen
    assert f"--model.head_lr={0.00025 * {'4x': 4, '10x': 10}[best['head_lr']]}" in words
    assert "--model.weight_decay=0.1234567" in words


def check_values(folder, queries, seeds):
    """Values per query and per seed are those of the cells' scores, measured directly."""
    truth = Store(folder).truth("toy")
    assert len(queries) == 2 * (1 + 2 * 2)
    for loss in ("ListNet", "Selective"):
        for seed in (0, 1):
            scores = np.load(folder / "cells" / "toy" / "tiny" / loss.lower() / f"seed-{seed}" / "scores.npy")
            by_query = {
                q: dict(zip(truth.doc_ids[a:b], scores[a:b].tolist(), strict=True))
                for q, a, b in zip(truth.query_ids, truth.offsets[:-1], truth.offsets[1:], strict=True)
            }
            direct = evaluate(Run.from_dict(by_query), truth.qrels, ["mrr@10", "ndcg@10"])
            own = queries[(queries.system == loss) & (queries.seed == seed)]
            mean = seeds[(seeds.system == loss) & (seeds.seed == seed)].set_index("measure")["value"]
            for measure, values in direct.values.items():
                assert own[measure].tolist() == values.tolist()
                assert mean[measure] == pytest.approx(values.mean())
