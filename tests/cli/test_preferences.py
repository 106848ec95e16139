"""Preferences on the command line: looked over, and measured."""

from __future__ import annotations

import csv
import json
import re

import pytest
import torch

from ltr.cli.main import main
from ltr.data import PreferenceData
from ltr.scorers import CrossEncoder
from ltr.settings import ModelSettings
from tests.data.preferences.chat import save_chat_tokenizer
from tests.tiny_model import save_tiny


@pytest.fixture
def file(tmp_path):
    records = [
        {
            "prompt_id": f"p{i}",
            "prompt": "how to join",
            "responses": [
                {"id": j, "text": "a " * (j + 1), "score": float((i + j) % 3), "win": j / 4} for j in range(4)
            ],
        }
        for i in range(3)
    ]
    (tmp_path / "dev.jsonl").write_text("\n".join(map(json.dumps, records)))
    return tmp_path / "dev.jsonl"


@pytest.fixture
def run(tmp_path):
    lines = [f"p{i} Q0 {j} {4 - j} {j} mine\n" for i in range(3) for j in reversed(range(4))]
    (tmp_path / "mine.trec").write_text("".join(lines))
    return tmp_path / "mine.trec"


def test_three_examples_are_shown_with_their_token_marks(file, tmp_path, capsys):
    model = save_chat_tokenizer(tmp_path / "chat")
    assert main(["data", "check", "--preferences", str(file), "--tokenizer", str(model)]) == 0
    shown = capsys.readouterr().out
    assert "3 prompts with 4.0 responses" in shown
    assert "form chat; three prompts as a model reads them" in shown
    assert shown.count("tokens,") == 6
    assert "[<|im_end|>]" in shown
    assert shown.startswith(str(file))  # it is no dev file, only looked at
    assert main(["data", "check", "--preferences", str(file)]) == 0
    assert "3 prompts, 12 responses, 3 of 18 pairs tied" in capsys.readouterr().out


def test_check_takes_one_of_two(file, capsys):
    assert main(["data", "check"]) == 1
    assert "give either --dataset NAME or --preferences FILE" in capsys.readouterr().err


def test_runs_are_measured_beside_the_longest(file, run, capsys):
    assert main(["evaluate", "--run", str(run), "--preferences", str(file), "--gain", "win"]) == 0
    rows = {line.split()[0]: line.split()[1:] for line in capsys.readouterr().out.splitlines() if line.strip()}
    assert rows["longest"][2] == "0.7500"  # best of all: the longest wins 3/4
    assert rows["longest"][5] == "1.0000"


def test_one_table_holds_lists_and_pairs_for_programs_and_its_notes_are_told(file, run, tmp_path, capsys):
    command = ["evaluate", "--run", str(run), "--preferences", str(file), "-m", "pair_accuracy", "--format"]
    assert main([*command, "csv"]) == 0
    told = capsys.readouterr()
    header, mine, *others = csv.reader(told.out.splitlines())
    assert header == ["run", "pair_accuracy", "calibration_error", "tie_auc"]
    assert mine[0] == "mine"
    assert all(0 <= float(value) <= 1 for value in mine[1:])
    assert [row[2:] for row in others] == [["", ""]] * 2  # random order and longest first
    assert told.err.startswith(f"{file}\n")
    assert "3 lists" in told.err
    assert "calibration: of σ(difference of scores)" in told.err
    assert main([*command, "json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert [str(row["tie_auc"]) for row in rows[:1]] == mine[3:]
    assert main([*command, "csv", "--output", str(tmp_path / "t.csv")]) == 0
    assert (tmp_path / "t.notes.txt").read_text() == told.err
    assert main([*command, "markdown", "--digits", "2"]) == 0
    assert re.search(r"^\| mine +\|.* \d\.\d\d +\|$", capsys.readouterr().out, re.MULTILINE)


def test_notes_never_take_the_place_of_the_file_of_preferences(file, run, tmp_path, capsys):
    preferences = file.rename(tmp_path / "t.notes.txt")
    before = preferences.read_bytes()
    command = ["evaluate", "--run", str(run), "--preferences", str(preferences), "--format", "csv"]
    assert main([*command, "--output", str(tmp_path / "t.csv")]) == 1
    assert "would overwrite an input of this command" in capsys.readouterr().err
    assert preferences.read_bytes() == before
    assert not (tmp_path / "t.csv").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--preferences", "{file}", "--qrels", "x"], "--preferences stands alone"),
        (["--qrels", "x", "--gain", "win"], "--label and --gain are names in a file of preferences"),
        (["--preferences", "{file}", "-m", "ndcg@10", "mrr"], "no measure of labels 'ndcg'"),
        (["--preferences", "{file}", "--gain", "wins"], "wins of response 0 must be a finite number, got None"),
    ],
)
def test_refuses(file, run, options, said, capsys):
    assert main(["evaluate", "--run", str(run), *(o.replace("{file}", str(file)) for o in options)]) == 1
    assert said in capsys.readouterr().err


@pytest.fixture(scope="module")
def reward(tmp_path_factory):
    """A reward model that says that it was trained on a file of one prompt."""
    home = tmp_path_factory.mktemp("reward")
    learnt = home / "train.jsonl"
    learnt.write_text(json.dumps({"prompt": "is", "chosen": "yes", "rejected": "no"}))
    encoder = save_tiny(home / "encoder", head=True)
    data = PreferenceData(str(learnt), tokenizer=str(encoder), max_length=16)
    CrossEncoder(str(encoder)).save(home / "best", data.inputs)
    return home


def test_a_saved_model_is_measured_on_preferences_from_elsewhere(reward, file, tmp_path, capsys, caplog):
    """What fit says of dev it says of any file: the same scores, in the same table."""
    best = str(reward / "best")
    shown = [*("evaluate", "--preferences", str(file), "--gain", "win", "--format", "json")]
    assert main([*shown, "--model", best]) == 0
    (row, *others) = json.loads(capsys.readouterr().out)["rows"]
    assert [one["run"] for one in others] == ["random order", "longest"]
    assert not caplog.text
    data = PreferenceData(dev=str(file), tokenizer=best, max_length=16)
    scorer = CrossEncoder.load(reward / "best")
    (batch,) = data.val_dataloader()
    with torch.no_grad():
        scores = scorer(batch)[batch.mask].tolist()
    owners = [
        q for q, size in zip(batch.query_ids, batch.list_offsets.diff().tolist(), strict=True) for _ in range(size)
    ]
    lines = [f"{q} Q0 {d} 1 {s!r} best\n" for q, d, s in zip(owners, batch.doc_ids, scores, strict=True)]
    (tmp_path / "best.trec").write_text("".join(lines))
    assert main([*shown, "--run", str(tmp_path / "best.trec")]) == 0
    wanted = json.loads(capsys.readouterr().out)["rows"][0]
    assert {k: v for k, v in row.items() if k != "run"} == pytest.approx(
        {k: v for k, v in wanted.items() if k != "run"}, abs=1e-4
    )


def test_prompts_that_a_model_was_trained_on_and_cuts_are_told(reward, tmp_path, capsys, caplog):
    records = [
        {"prompt": p, "chosen": "join the paths " * 9, "rejected": "no"} for p in ("is", "how to join two paths")
    ]
    (tmp_path / "both.jsonl").write_text("\n".join(map(json.dumps, records)))
    assert main(["evaluate", "--model", str(reward / "best"), "--preferences", str(tmp_path / "both.jsonl")]) == 0
    assert "best: it was trained on 1 of the 2 prompts of" in caplog.text
    assert "best: at 16 tokens 1 prompts lose their beginning and 2 responses their end" in caplog.text


def test_models_that_cannot_be_measured_on_preferences(reward, file, tmp_path, capsys):
    CrossEncoder(str(reward / "encoder")).save(tmp_path / "ranker", ModelSettings(40, 20))
    given = ["evaluate", "--preferences", str(file)]
    for more, said in (
        (
            ["--model", str(tmp_path / "ranker")],
            "was not trained on preferences: how it would read prompts and responses",
        ),
        ([], "--preferences measures runs (--run) or models of responses (--model); give one of the two"),
        (["--model", "m", "--run", "r"], "give one of the two"),
        (["--model", str(reward / "best"), "--dataset", "x"], "--preferences stands alone"),
    ):
        assert main([*given, *more]) == 1
        assert said in capsys.readouterr().err
