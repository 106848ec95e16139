"""A cell depends on what its data and its model hold: data that change under the same name are never mixed."""

import json
import sys
from dataclasses import replace

import pytest

from ltr.cli.main import main
from ltr.cli.training import benchmark
from ltr.data.contents import contents_of_paths
from ltr.errors import ConfigError, DataError
from ltr.experiments.cells.cell import run_task
from ltr.experiments.cells.runner import loaded, planned, reported, run
from ltr.experiments.cells.store import Store
from ltr.experiments.contents import Known, changed, contents
from ltr.experiments.spec.plan import groups
from ltr.experiments.spec.reading import read_spec
from tests.cli.feature_files import write_log
from tests.experiments.pretend import Pretend, judged, labelled
from tests.experiments.specs import content, write


@pytest.fixture
def log(tmp_path):
    for part in ("train", "dev", "test"):
        write_log(tmp_path / f"{part}.csv", 5)
    return tmp_path / "train.csv"


@pytest.fixture
def values(tmp_path, log):
    parts = {part: str(tmp_path / f"{part}.csv") for part in ("train", "dev", "test")}
    return {
        "name": "seconds", "folder": str(tmp_path / "runs"), "seeds": 2, "monitor": "rmse", "measures": ["rmse"],
        "data": {"log": {"class_path": "EngagementData", "init_args": parts}},
        "scorers": {"linear": {"class_path": "LinearScorer"}},
        "losses": {"ListNet": "ListNet(targets=LabelSoftmax())"},
        "baseline": "ListNet", "allow_overlap": True,
    }  # fmt: skip


@pytest.fixture
def start(values, tmp_path):
    """Runs the spec as it is now: titles of the cells that ran, and what was said."""

    def act(truth=None, **options):
        spec = read_spec(write(tmp_path / "spec.yaml", values))
        executor, said = Pretend({"log": truth or labelled(), "toy": judged()}), []
        run(spec, executor, said.append, **options)
        return [title.partition(" · ")[2] for title in executor.ran], said

    return act


def invert(path):
    """The same table with the labels the other way round."""
    head, *rows = path.read_text().splitlines()
    cells = [row.rpartition(",") for row in rows]
    path.write_text("\n".join([head, *(f"{first},{200 - float(label):.2f}" for first, _, label in cells)]) + "\n")


def test_inverted_training_labels_are_not_compared_with_the_old_ones(start, values, log, capsys, monkeypatch):
    assert start()[0] == ["linear · ListNet · seed 0", "linear · ListNet · seed 1"]
    invert(log)
    values["losses"]["RankNet"] = "RankNet()"
    told = "! log: train changed, so 2 finished cells are measured anew"
    monkeypatch.setattr("ltr.experiments.cells.estimate.timed", lambda task: 1.0)
    spec = write(log.parent / "spec.yaml", values)
    assert main(["benchmark", str(spec), "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert told in out
    assert "4 cells, 0 of them finished" in out
    ran, said = start()
    assert len(ran) == 4
    assert told in said
    assert start() == ([], ["4 cells, 4 of them finished before; 1 at a time"])


def test_a_file_that_is_written_again_with_the_same_content_changes_nothing(start, log):
    start()
    text = log.read_text()
    log.unlink()
    log.write_text(text)
    assert start()[0] == []


def test_trials_of_other_data_choose_nothing(start, values, log):
    values["tuning"] = {"trials": 2, "search": {"lr": {"low": 1e-4, "high": 1e-2, "log": True}}}
    start()
    invert(log)
    ran, said = start()
    assert len(ran) == 4
    assert "! log: train changed, so 4 finished cells are measured anew" in said


def test_another_test_part_takes_the_place_of_the_old_one(start, values, tmp_path):
    start(labelled(seed=0))
    invert(tmp_path / "test.csv")
    other = labelled(seed=7)
    ran, said = start(other)
    assert len(ran) == 2
    assert not any("FAILED" in line for line in said)
    assert Store(values["folder"]).truth("log").same_as(other)


@pytest.mark.parametrize("part", ["train_candidates", "dev_candidates", "scorer.model", "train", "tokenizer"])
def test_whatever_a_text_cell_reads_counts(part, tiny_folder, tiny_model, tmp_path):
    values = content(tiny_folder, tiny_model, tmp_path / "runs")
    values["data"]["toy"]["init_args"]["tokenizer"] = str(tmp_path / "words")
    words = tmp_path / "words"
    words.mkdir()
    (words / "vocab.txt").write_text("a\nb\n")
    model = tmp_path / "backbone"
    model.mkdir()
    (model / "config.json").write_text("{}")
    values["scorers"]["tiny"]["init_args"]["model"] = "${BACKBONE}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BACKBONE", str(model))
        spec = read_spec(write(tmp_path / "spec.yaml", values))
        before = planned(spec)[0].contents
        assert planned(spec)[0].contents == before
        changes = {
            "train_candidates": tiny_folder / "run.first.trec", "dev_candidates": tiny_folder / "run.first.trec",
            "scorer.model": model / "config.json", "train": tiny_folder / "qrels.train.trec", "tokenizer": words / "vocab.txt",
        }  # fmt: skip
        text = changes[part].read_text()
        changes[part].write_text(
            text + (text.splitlines()[-1].replace("d1", "d7") + "\n" if ".trec" in str(changes[part]) else " ")
        )
        after = planned(spec)[0].contents
    assert part in before
    assert before[part] != after[part]


def strip(folder):
    """As a version wrote cells that did not keep what data hold."""
    for path in folder.rglob("manifest.json"):
        record = json.loads(path.read_text())
        del record["contents"]
        path.write_text(json.dumps(record))


def test_cells_of_unknown_data_are_refused_until_they_are_trusted(start, values, tmp_path):
    start()
    strip(tmp_path / "runs")
    values["losses"]["RankNet"] = "RankNet()"
    with pytest.raises(
        ConfigError, match=r"holds 2 finished cells from before ltr kept what data hold.*--trust-data takes"
    ):
        start()
    spec = read_spec(tmp_path / "spec.yaml")
    found, notes = reported(spec)
    assert len(found[0].seeds) == 2
    assert notes == ["log: made before ltr kept what data hold, so nobody can tell whether they are today's"]
    assert start(trust_data=True)[0] == ["linear · RankNet · seed 0", "linear · RankNet · seed 1"]
    assert start()[0] == [], "what was trusted is known from then on"
    assert reported(spec)[1] == []


def test_a_report_shows_data_that_have_changed_as_they_were(start, values, log, tmp_path, capsys):
    start()
    invert(log)
    spec = write(tmp_path / "spec.yaml", values)
    assert main(["benchmark", str(spec), "--report"]) == 0
    out = capsys.readouterr().out
    assert "! log: made of data that have changed since (train)" in out
    assert "ListNet" in (tmp_path / "runs" / "results.txt").read_text()
    assert "made of data that have changed since" in (tmp_path / "runs" / "report.html").read_text()
    assert json.loads((tmp_path / "runs" / "results.json").read_text())["notes"]


def test_a_report_never_mixes_contents(start, values, log, tmp_path):
    values["losses"]["RankNet"] = "RankNet()"
    start()
    manifest = tmp_path / "runs" / "cells" / "log" / "linear" / "ranknet" / "seed-0" / "manifest.json"
    whole = manifest.read_text()
    manifest.write_text(json.dumps({**json.loads(whole), "contents": {"train": "another"}}))
    spec = read_spec(tmp_path / "spec.yaml")
    found, notes = reported(spec)
    assert [sorted(group.seeds) for group in found] == [[0, 1], [1]]
    assert notes == ["log: 1 finished cells are not of today's data, and left out"]
    invert(log)
    with pytest.raises(
        DataError, match="log: its cells were made of different contents of train; they cannot stand beside"
    ):
        reported(spec)
    manifest.write_text(json.dumps({**json.loads(whole), "contents": None}))
    with pytest.raises(DataError, match="log: of some of its cells nobody knows what their data held"):
        reported(spec)


def test_data_that_cannot_be_read_here_do_not_make_cells_stale(start, log, tmp_path):
    start()
    log.unlink()
    spec = read_spec(tmp_path / "spec.yaml")
    (group,) = loaded(spec)[0]
    assert group.contents is None
    assert len(group.seeds) == 2


def test_a_cell_whose_data_change_while_the_benchmark_runs_fails(start, values, tmp_path):
    task = groups(read_spec(write(tmp_path / "spec.yaml", values)))[0].example()
    held = contents(task.data, task.scorer)
    outcome = run_task(replace(task, contents={**held, "dev": "another"}))
    assert outcome.record["status"] == "failed"
    assert outcome.record["reason"].startswith("dev: other content than when the benchmark was started")


def test_the_command_hands_trust_on(start, values, tmp_path, monkeypatch, capsys):
    start()
    strip(tmp_path / "runs")
    monkeypatch.setattr(benchmark, "_executor", lambda *_: Pretend({"log": labelled()}))
    spec = str(tmp_path / "spec.yaml")
    assert main(["benchmark", spec]) == 1
    assert "nobody can tell" in capsys.readouterr().err
    assert main(["benchmark", spec, "--dry-run", "--trust-data"]) == 0
    assert "2 cells, 2 of them finished" in capsys.readouterr().out
    assert main(["benchmark", spec, "--dry-run"]) == 1, "a dry run writes nothing"
    assert main(["benchmark", spec, "--trust-data"]) == 0
    assert main(["benchmark", spec]) == 0


OWN = """
from ltr.losses import ListNet


class Mine(ListNet):
    def costs(self, scores, labels, mask):
        return {factor} * super().costs(scores, labels, mask)
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    """Writes a module with a loss into the current folder, which multiplies by what it is given; gives its name."""
    name = f"own_{tmp_path.name}"
    monkeypatch.chdir(tmp_path)

    def write_with(factor, comment=""):
        (tmp_path / f"{name}.py").write_text(comment + OWN.format(factor=factor))
        sys.modules.pop(name, None)
        return name

    yield write_with
    sys.modules.pop(name, None)


def test_a_loss_of_ones_own_that_was_edited_is_measured_anew(start, values, own):
    """Else a table shows the old code beside the new."""
    values["losses"]["Mine"] = f"{own(2)}.Mine()"
    ran, _ = start()
    assert len(ran) == 4
    own(2, "# a comment\n")
    assert start()[0] == []
    name = own(3)
    ran, said = start()
    assert ran == ["linear · Mine · seed 0", "linear · Mine · seed 1"]
    assert f"! log: code of {name} changed, so 2 finished cells are measured anew" in said


def code_of(*values):
    return Known().code(*values)


def test_code_is_read_once_for_all_cells(values, own, tmp_path, monkeypatch):
    name, read = own(2), []
    monkeypatch.setattr("ltr.experiments.contents.code_in", lambda names: read.append(names) or "a")
    for loss in ("One", "Two"):
        values["losses"][loss] = f"{name}.Mine()"
    planned_now = planned(read_spec(write(tmp_path / "spec.yaml", values)))
    assert [f"code of {name}" in group.contents for group in planned_now].count(True) == 2
    assert read == [(f"{name}.Mine",)]


def test_code_is_that_of_whatever_a_specification_names(own, tmp_path):
    name = own(2)
    (key,) = code_of(f"{name}.Mine()")
    assert key == f"code of {name}"
    for value in ({"class_path": f"{name}.Scorer", "init_args": {}}, [f"Matching(Numeric('{name}:steep'))"]):
        assert code_of(value) == code_of(f"{name}.Mine()")
    assert code_of("ListNet()", {"class_path": "ltr.scorers.LinearScorer"}, "gone_from_here.Mine()") == {}
    package = tmp_path / f"pack_{name}"
    (package / "parts").mkdir(parents=True)
    files = {
        "__init__.py": "", "plots.py": "", "shapes.py": "", "parts/__init__.py": f"from pack_{name}.parts.losses import Mine",
        "parts/losses.py": "from ..shapes import steep\nfrom . import widths\nclass Mine: ...", "parts/widths.py": "",
    }  # fmt: skip
    for place, text in files.items():
        (package / place).write_text(text)
    told = f"pack_{name}.parts.Mine()"
    before = code_of(told)
    assert list(before) == [f"code of pack_{name}"]
    assert code_of({"class_path": f"pack_{name}.parts.losses.Mine"}) == before
    for place, text in files.items():  # whatever it is made of, by any way of importing, and nothing else
        (package / place).write_text(f"{text}\nwidth = 2\n")
        assert (code_of(told) == before) is (place == "plots.py"), place
        (package / place).write_text(f"{text}  # a comment\n")
        assert code_of(told) == before, place


def test_cells_from_before_code_was_kept_are_taken_as_they_were(start, values, own, tmp_path):
    values["losses"]["Mine"] = f"{own(2)}.Mine()"
    start()
    for path in (tmp_path / "runs").rglob("manifest.json"):
        record = json.loads(path.read_text())
        record["contents"] = {k: v for k, v in record["contents"].items() if not k.startswith("code of ")}
        path.write_text(json.dumps(record))
    assert start()[0] == []


def test_modules_behind_an_encoder_count(tmp_path):
    """What projects or pools its states lies in folders below the model's."""
    (tmp_path / "1_Dense").mkdir()
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "modules.json").write_text('[{"path": ""}, {"path": "1_Dense"}, {"path": "gone"}]')
    (tmp_path / "1_Dense" / "model.safetensors").write_text("a")
    before = contents_of_paths({"model": str(tmp_path)})
    (tmp_path / "1_Dense" / "model.safetensors").write_text("b")
    after = contents_of_paths({"model": str(tmp_path)})
    assert changed(before, after) == ["model.modules"]
    assert changed({"model": before["model"]}, after) == [], "cells of older versions do not tell of them"
    (tmp_path / "modules.json").write_text("damaged")
    assert list(contents_of_paths({"model": str(tmp_path)})) == ["model"]
    (tmp_path / "modules.json").write_text(
        json.dumps([{"path": str(tmp_path / "1_Dense")}, {"path": 7}, {"path": "/gone"}])
    )
    assert list(contents_of_paths({"model": str(tmp_path)})) == ["model"]
    (tmp_path / "modules.json").write_text(json.dumps([{"path": str(tmp_path.parent)}]))
    assert list(contents_of_paths({"model": str(tmp_path)})) == ["model", "model.modules"]
