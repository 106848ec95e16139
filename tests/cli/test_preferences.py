"""Preferences on the command line: looked over, and measured."""

from __future__ import annotations

import json

import pytest

from ltr.cli.main import main
from tests.data.preferences.chat import save_chat_tokenizer


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
    assert (
        main(["evaluate", "--run", str(run), "--preferences", str(file), "-m", "pair_accuracy", "--format", "csv"]) == 0
    )
    assert "tie_auc" in capsys.readouterr().out


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
