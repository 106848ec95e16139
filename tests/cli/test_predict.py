"""``ltr predict`` from the command line."""

import csv
import json
import re

import numpy as np
import pytest
import torch

from ltr.cli.main import main
from ltr.inference import FeatureRanker
from ltr.scorers import AttentionScorer, FeatureSettings

NAMES = ("age", "length")
TARGET = {"log1p": True, "mean": 3.0, "std": 0.5}


def saved(folder, names=NAMES, target=TARGET, **more):
    torch.manual_seed(0)
    scorer = AttentionScorer(width=8, layers=1, heads=2)
    scorer.fit_to(FeatureSettings(2, False, shift=np.ones(2), scale=np.full(2, 2.0)))
    unit = "seconds" if target else ""
    scorer.save(folder, FeatureSettings(feature_names=names, target=target, unit=unit, **more))
    return str(folder)


@pytest.fixture
def model(tmp_path):
    return saved(tmp_path / "model")


def table(text):
    return list(csv.DictReader(text.splitlines()))


def test_seconds_beside_what_was_learnt_in_the_order_of_the_file(model, tmp_path, capsys):
    rows = ["list_id,length,item_id,age", "p,1.5,a,2", "q,3,b,1", "p,0.5,c,7", "q,2,d,9"]
    (tmp_path / "new.csv").write_text("\n".join(rows) + "\n")
    assert main(["predict", str(tmp_path / "new.csv"), "--model", model]) == 0
    told = capsys.readouterr()
    assert told.err == "-: predicted_seconds of 4 documents\n"
    predicted = table(told.out)
    assert [(row["list_id"], row["item_id"]) for row in predicted] == [("p", "a"), ("q", "b"), ("p", "c"), ("q", "d")]
    # documents of a list see each other: they are scored together, wherever they stand
    ranker = FeatureRanker.load(model, "cpu")
    features = np.array([[2, 1.5], [7, 0.5], [1, 3], [9, 2]], np.float32)
    scores = ranker.scores(features, [2, 2])[[0, 2, 1, 3]]
    # every digit: whoever sorts by the column finds the order of the model
    assert np.array([row["score"] for row in predicted], np.float32).tolist() == scores.tolist()
    seconds = [float(row["predicted_seconds"]) for row in predicted]
    assert seconds == pytest.approx(np.expm1(np.float64(scores) * 0.5 + 3.0).tolist(), rel=1e-8)


@pytest.mark.parametrize(("item_id", "shown"), [("video", "item_id"), (None, "line")])
def test_columns_of_ids_are_those_of_the_training(item_id, shown, tmp_path, capsys):
    model = saved(tmp_path / "trained", reading={"list_id": "session", "item_id": item_id, "label": "seconds"})
    (tmp_path / "new.csv").write_text("session,video,age,length\np,a,2,1.5\nq,b,1,3\np,c,7,0.5\n")
    assert main(["predict", str(tmp_path / "new.csv"), "-m", model]) == 0
    told = capsys.readouterr()
    assert [list(row.values())[:2] for row in table(told.out)] == [
        [q, d if item_id else line] for q, d, line in [("p", "a", "2"), ("q", "b", "3"), ("p", "c", "4")]
    ]
    assert list(table(told.out)[0])[:2] == ["list_id", shown]
    assert "names no lists" not in told.err


@pytest.mark.parametrize(
    ("reading", "mean", "said"),
    [
        (["list_id"], None, "reading must be a mapping to texts"),
        ({"list_id": 5}, None, "reading must be a mapping to texts"),
        ({}, "1", "mean_label must be a finite number"),
        ({}, float("nan"), "mean_label must be a finite number"),
    ],
)
def test_settings_of_another_make_are_refused(model, tmp_path, capsys, reading, mean, said):
    path = tmp_path / "model" / "ltr.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "reading": reading, "mean_label": mean}))
    (tmp_path / "new.csv").write_text("age,length\n1,2\n")
    assert main(["predict", str(tmp_path / "new.csv"), "-m", model]) == 1
    assert f"not the settings of a model saved by ltr: {said}" in capsys.readouterr().err


def test_without_ids_rows_go_by_their_lines(model, tmp_path, capsys):
    (tmp_path / "new.tsv").write_text("age\tlength\tnote\n1\t2\tx\n\n3\t4\ty\n")
    out = tmp_path / "predicted.csv"
    assert main(["predict", str(tmp_path / "new.tsv"), "-m", model, "-o", str(out)]) == 0
    told = capsys.readouterr()
    assert told.out == f"{out}: predicted_seconds of 2 documents\n"
    assert "names no lists, so that its 2 documents are scored as one, and AttentionScorer looks at lists" in told.err
    assert "--list-id" in told.err
    assert [list(row)[:2] for row in table(out.read_text())] == [["line", "predicted_seconds"]] * 2
    assert [row["line"] for row in table(out.read_text())] == ["2", "4"]


def test_svmlight_and_a_model_that_learnt_grades(tmp_path, capsys):
    model = saved(tmp_path / "model", (), {})
    (tmp_path / "new.txt").write_text("0 qid:7 2:1.5 # a\n0 qid:7 1:3 # b\n")
    assert main(["predict", str(tmp_path / "new.txt"), "-m", model]) == 0
    predicted = table(capsys.readouterr().out)
    assert [(row["list_id"], row["item_id"], list(row)[2:]) for row in predicted] == [
        ("7", "a", ["score"]),
        ("7", "b", ["score"]),
    ]
    expected = FeatureRanker.load(model, "cpu").scores(np.array([[0, 1.5], [3, 0]], np.float32)).tolist()
    assert [float(row["score"]) for row in predicted] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("names", "text", "ending", "extra", "message"),
    [
        (NAMES, "age,lenght\n1,2\n", "csv", [], r"no column 'length'; did you mean 'lenght'\?"),
        (
            NAMES,
            "age,length\n1,x\n",
            "csv",
            [],
            r"new.csv:2: column 'length': every value must be a finite number, got 'x'",
        ),
        (NAMES, "age,length\n1,2\n", "csv", ["--list_id", "session"], "no column 'session'"),
        (
            (),
            "age,length\n1,2\n",
            "csv",
            [],
            "the model's 2 features have no names, so no columns are theirs; give SVMlight",
        ),
        ((), "0 qid:1 3:1\n", "txt", [], "new.txt: it has 3 features, and the model was trained on 2"),
        (NAMES, "0 qid:1 2:1\n", "txt", [], "new.txt: no feature 'age'; known: 1, 2"),
    ],
)
def test_data_that_do_not_fit_are_told(names, text, ending, extra, message, tmp_path, capsys):
    model = saved(tmp_path / "model", names)
    (tmp_path / f"new.{ending}").write_text(text)
    assert main(["predict", str(tmp_path / f"new.{ending}"), "-m", model, *extra]) == 1
    assert re.search(message, capsys.readouterr().err)


def test_a_file_that_is_not_there_is_told_before_torch_is_loaded(model, tmp_path, capsys):
    assert main(["predict", str(tmp_path / "none.csv"), "-m", model]) == 1
    assert f"data: no file {tmp_path}/none.csv" in capsys.readouterr().err
