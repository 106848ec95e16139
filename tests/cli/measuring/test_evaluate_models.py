"""``ltr evaluate --model``: scorers on features measured against the labels of a file."""

import csv
import json
import os
import shutil
import threading
from dataclasses import replace

import numpy as np
import pytest
import torch

from ltr.cli.main import main
from ltr.cli.measuring.models import LABELS
from ltr.data import EngagementData, LetorData
from ltr.inference import FeatureRanker
from ltr.io.trec import Run
from ltr.metrics import evaluate
from ltr.scorers import CrossEncoder, FeatureSettings, LinearScorer, ModelSettings
from ltr.training.run.results import TRAINED, Results
from tests.cli.feature_files import write_fold, write_log

COMMON = ["ndcg_label@10", "spearman", "r2", "rmse", "rmse_top.2"]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    head, *rows = write_log(folder / "log.csv").read_text().splitlines()
    log = [head, *(row.replace(",d", f",{i}-d", 1) for i, row in enumerate(rows))]  # every item once
    # a list without any gain
    (folder / "log.csv").write_text("\n".join([*log, *(f"none,n{i},{i},{i},0" for i in range(3))]) + "\n")
    write_fold(folder / "fold")
    return folder


@pytest.fixture
def here(home, monkeypatch):
    monkeypatch.chdir(home)
    return home


def data_of(train="log.csv[:60%]", dev="log.csv[60%:]", **settings):
    return EngagementData(train, dev, **{"split_by": "items", "standardise_label": True, **settings})


def saved(folder, data, weights):
    scorer = LinearScorer()
    scorer.fit_to(data.inputs)
    with torch.no_grad():
        scorer.head.weight.copy_(torch.tensor([weights]))
    scorer.save(folder, data.inputs)
    return str(folder)


@pytest.fixture
def ours(here):
    return saved(here / "ours", data_of(), [0.1, 0.9])


def rows_of(capsys, *options):
    assert main(["evaluate", *options, "--format", "json"]) == 0
    return json.loads(capsys.readouterr().out)["rows"]


def test_figures_are_those_that_the_training_prints(here, ours, capsys):
    rows = rows_of(capsys, "--model", ours, "--dataset", "log.csv[60%:]", "-m", *COMMON)
    data, ranker = data_of(), FeatureRanker.load(ours)
    part, truth = data.whole("dev"), data.labels_of("dev")
    truth.doc_ids = list(part.doc_ids)
    run = truth.ranked(ranker.scores(part.features, np.diff(truth.offsets)), TRAINED)
    printed = Results.of("dev", None, run, None, None, COMMON, truth, data.mean_label, data.back).content()
    for kind, unit in (("labels", "standardised log(1 + seconds)"), ("labels_as_read", "seconds")):
        for expected in printed[kind]["rows"]:
            name = "ours" if expected["run"] == TRAINED else expected["run"]
            for measure in COMMON:
                exact = measure.startswith(("r2", "rmse"))
                if kind == "labels_as_read" and not exact:
                    continue
                found = [r for r in rows if (r["run"], r["measure"], r["unit"]) == (name, measure, unit * exact)]
                wanted = [] if expected.get(measure) is None else [expected[measure]]
                assert [row["mean"]["value"] for row in found] == wanted
    assert {row["run"] for row in rows} == {"ours", "constant (mean of train)", "random order"}
    low, high = (next(r for r in rows if r["measure"] == "rmse")["mean"][end] for end in ("low", "high"))
    assert low < rows[3]["mean"]["value"] < high
    given = ["--model", ours, "--dataset", "log.csv[60%:]", "-m", *COMMON, "--no-intervals"]
    with pytest.MonkeyPatch.context() as patch:  # nothing is drawn for what is not shown
        patch.setattr("ltr.metrics.statistics.paired.draw_together", None)
        assert [row["mean"] for row in rows_of(capsys, *given)] == [row["mean"]["value"] for row in rows]


def test_gains_are_the_labels_as_read(here, ours, capsys):
    rows = rows_of(capsys, "--model", ours, "--dataset", "log.csv", "-m", "ndcg_label@10")
    assert main(["evaluate", "--model", ours, "--dataset", "log.csv", "-m", "ndcg_label@10", "--per-query", "l"]) == 0
    lists = {
        row["query_id"]: float(row["ndcg_label@10"]) for row in csv.DictReader((here / "l").read_text().splitlines())
    }
    assert lists["none"] == 0  # three zeros that were standardised and undone are no longer equal to 0
    assert rows[0]["mean"]["value"] == pytest.approx(np.mean(list(lists.values())))


def test_several_models_are_compared(here, ours, capsys):
    other = saved(here / "other", data_of(), [0.5, -0.5])
    given = [
        "--model",
        ours,
        other,
        "--dataset",
        "log.csv",
        "-m",
        "rmse",
        "ndcg_label@10",
        "--test",
        "student",
        "fisher",
    ]
    assert main(["evaluate", *given, "--baseline", other, "--digits", "2"]) == 0
    text = capsys.readouterr().out
    assert "log.csv, labels and predictions in seconds" in text
    assert "\nAgainst other\n" in text
    assert "\nAgainst other, in seconds\n" in text
    assert "pooled measures: lists resampled, percentiles" in text
    rows = rows_of(capsys, *given)
    row = next(r for r in rows if (r["run"], r["measure"]) == ("other", "ndcg_label@10"))
    assert row["wins"] + row["ties"] + row["losses"] == 13
    assert 0 < row["p fisher"] < 0.05
    assert row["difference"]["value"] == pytest.approx(row["mean"]["value"] - rows[1]["mean"]["value"])


def test_models_that_learnt_other_units_are_compared_by_order_and_in_the_unit_of_the_file(here, ours, capsys):
    plain = saved(here / "plain", data_of(transform="none", standardise_label=False), [30.0, 270.0])
    rows = rows_of(capsys, "--model", ours, plain, "--dataset", "log.csv", "-m", "rmse", "spearman")
    by = {(row["run"], row["measure"]): row for row in rows}
    # the second model's scores are 300 times the first's: one order, other amounts
    assert by["ours", "spearman"]["mean"] == by["plain", "spearman"]["mean"]
    assert by["plain", "rmse"]["unit"] == by["ours", "rmse"]["unit"] == "seconds"
    table = data_of(dev="log.csv").table("dev")
    amounts = FeatureRanker.load(plain).amounts(table.features, np.diff(table.offsets))
    assert by["plain", "rmse"]["mean"]["value"] == pytest.approx(np.sqrt(np.mean((amounts - table.labels) ** 2)))


@pytest.mark.parametrize(
    ("dataset", "options", "told"),
    [
        ("log.csv[60%:]", [], ""),  # as the training shared it out: by items
        ("log.csv[50%:]", [], "3 of test's 19 documents"),
        ("log.csv", [], "of test's 39 documents"),
    ],
)
def test_documents_that_the_model_was_trained_on_are_told(here, ours, capsys, dataset, options, told):
    assert main(["evaluate", "--model", ours, "--dataset", dataset, *options, "-m", "rmse"]) == 0
    err = capsys.readouterr().err
    assert (told in err and "figures on test would be too good" in err) if told else not err


def test_grades_are_judgements_and_labels(here, capsys):
    data = LetorData(fold="fold")
    model = saved(here / "letor", data, [0.3, 0.3, 0.3])
    rows = rows_of(capsys, "--model", model, "--dataset", "fold/test.txt", "-m", "ndcg@10", "ndcg_label@10", "mae")
    scores = FeatureRanker.load(model).scores(data.whole("test").features)
    batch = data.whole("test")
    run = Run(batch.query_ids, batch.list_offsets.numpy(), batch.doc_ids, scores, "letor")
    expected = evaluate(run, data.part("test").qrels, "ndcg@10")["ndcg@10"]
    values = {row["measure"]: row["mean"]["value"] for row in rows if row["run"] == "letor"}
    assert values["ndcg@10"] == expected
    assert values["ndcg_label@10"] == pytest.approx(expected)
    assert values["mae"] == pytest.approx(np.abs(scores - data.table("test").labels).mean())
    assert main(["evaluate", "--model", model, "--dataset", "fold/test.txt", "--per-query", "values"]) == 0
    assert "ndcg@10" in capsys.readouterr().out  # rankings are what grades are for
    assert (here / "values").read_text().startswith("query_id,run,ndcg@10,mrr@10,map,recall@100\n0,letor,")


def test_negative_labels_are_no_gains(here, capsys):
    lines = [f"{label} qid:{q} 1:{q} 2:{label}" for q in range(3) for label in (-1.5, 2, 0.25)]
    (here / "real.txt").write_text("\n".join(lines) + "\n")
    model = saved(here / "real", LetorData("real.txt", labels="real"), [0.0, 1.0])
    rows = rows_of(capsys, "--model", model, "--dataset", "real.txt", "--no-intervals")
    assert [row["measure"] for row in rows if row["run"] == "real"] == LABELS[1:]
    assert main(["evaluate", "--model", model, "--dataset", "real.txt", "-m", "ndcg_label@3"]) == 1
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("ltr evaluate: real.txt: ndcg_label@3 sums up labels as gains, which must be 0 or more")


def test_other_names_of_columns_are_taken(here, ours, capsys):
    text = (here / "log.csv").read_text().replace("list_id", "session", 1).replace("seconds", "dwell", 1)
    (here / "other.csv").write_text(text)
    given = ["--model", ours, "--dataset", "other.csv", "-m", "rmse", "--list-id", "session", "--label", "dwell"]
    assert [row["unit"] for row in rows_of(capsys, *given)[2:]] == ["dwell", "dwell"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "give what to measure: runs by --run FILE ..., or scorers on features by --model FOLDER"),
        (["--model", "ours"], "--model scores a labelled file: give it by --dataset, without --run, --qrels"),
        (["--model", "ours", "--dataset", "log.csv", "--run", "x"], "without --run, --qrels or --gain; responses by --preferences"),
        (["--run", "x", "--qrels", "y", "--list-id", "q"], "say how --model reads its file of features; give models, or leave them"),
        (["--model", "ours", "--dataset", "log.csv", "-m", "ndcg@10"], "measure ndcg@10 compares rankings with judgements"),
        (["--model", "ours", "--dataset", "log.csv", "-m", "rsme"], "no measure 'rsme'; did you mean 'rmse'?"),
        (["--model", "ours", "--dataset", "nolog.csv"], "data: no file nolog.csv"),
        (["--model", "none", "--dataset", "log.csv"], "none is no model that ltr saved"),
        (["--model", "ours", "--dataset", "log.csv", "--label", "dwell"], "no column 'dwell'"),
        (["--model", "ours", "--dataset", "log.csv", "--baseline", "theirs"], "no model 'theirs' to be the baseline"),
        (["--model", "ours", "--dataset", "log.csv", "-o", "log.csv"], "--output log.csv would overwrite an input"),
        (["--model", "ours", "--dataset", "log[1].csv[:80%]", "-o", "log[1].csv"], "--output log[1].csv would overwrite"),
        (["--model", "ours", "session", "--dataset", "log.csv"], "(list_id: 'list_id' and 'session'); say which with --list-id"),
        (["--model", "ours", "grades", "--dataset", "log.csv"], "ours and grades were trained on data that are read in two ways"),
        (["--model", "grades", "--dataset", "log.csv"], "the model's 3 features have no names, so no columns are theirs"),
        (["--model", "old", "--dataset", "log.csv[60%:]"], "a model of an earlier ltr does not say what its training's shares of files were shares of"),
        (["--model", "grades", "--dataset", "x", "--item-id", "d"], "--item-id names a column of a table, and grades was"),
        (["--model", "grades", "--dataset", "log.csv", "--per-query", "x", "-m", "mae"], "no columns are theirs"),
        (["--model", "ours", "--dataset", "log.csv", "--per-query", "x", "-m", "rmse"], "none has a value per list"),
    ],
)  # fmt: skip
def test_mistakes_are_explained(here, ours, capsys, options, message):
    shutil.copy("log.csv", "log[1].csv")
    if "session" in options:
        (here / "renamed.csv").write_text((here / "log.csv").read_text().replace("list_id", "session", 1))
        saved(here / "session", data_of("renamed.csv", None, list_id="session"), [0.1, 0.9])
    if "old" in options:
        settings = replace(FeatureSettings.read(ours), reading={})
        LinearScorer.load(ours).save(here / "old", settings)
    if "grades" in options:
        saved(here / "grades", LetorData(fold="fold"), [1.0, 1.0, 1.0])
    assert main(["evaluate", *options]) == 1
    err = capsys.readouterr().err
    assert err.splitlines()[-1].startswith("ltr evaluate: ")
    assert message in err


def test_a_pipe_is_read_once_or_not_at_all(here, ours, capsys):
    other = saved(here / "fewer", data_of(features=["words"]), [0.5])
    for models in ([ours], [ours, other]):
        pipe = here / f"pipe{len(models)}.csv"
        os.mkfifo(pipe)
        writer = threading.Thread(target=pipe.write_bytes, args=((here / "log.csv").read_bytes(),))
        writer.start()
        status = main(["evaluate", "--model", *models, "--dataset", str(pipe), "-m", "mae"])
        writer.join(10)
        told = capsys.readouterr()
        assert status == len(models) - 1
        said = "ours " if len(models) == 1 else "can be read once, and fewer reads other columns of it"
        assert said in told.out + told.err


def test_scorers_of_texts_are_measured_by_their_runs(here, tiny_model, capsys):
    CrossEncoder(str(tiny_model)).save(here / "text", ModelSettings(64, 16))
    assert main(["evaluate", "--model", "text", "--dataset", "log.csv"]) == 1
    assert "rerank with it (ltr rerank) and measure the run" in capsys.readouterr().err


def test_models_of_other_trainings_have_no_constant_in_common(here, ours, capsys):
    models = []
    for name, mean in (("one", 3.0), ("other", 4.0)):
        saved(here / name, data_of(standardise_label=False), [0.1, 0.9])
        settings = replace(FeatureSettings.read(here / name), mean_label=mean)
        LinearScorer.load(here / name).save(here / name, settings)
        models.append(str(here / name))
    alone = {row["run"] for row in rows_of(capsys, "--model", models[0], "--dataset", "log.csv", "-m", "rmse")}
    both = {row["run"] for row in rows_of(capsys, "--model", *models, "--dataset", "log.csv", "-m", "rmse")}
    assert "constant" in " ".join(alone)
    assert "constant" not in " ".join(both)
