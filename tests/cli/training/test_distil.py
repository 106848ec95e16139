"""``ltr distil`` from the command line: what it would do, and all of it."""

import json
from pathlib import Path

import pytest

from ltr.cli.main import main
from ltr.io.trec import read_run
from ltr.scorers import CrossEncoder
from ltr.settings import ModelSettings
from tests.tiny_model import save_tiny

ROOT = Path(__file__).parents[3]
WORDS = ["join", "two", "paths", "split", "string", "file", "read", "write", "list", "sort", "number", "open", "close"]

RECIPE = """
folder: {place}/distilled
train: {place}/data/train
dev: {place}/data/dev
retrieve: {{k: 8}}
mine: {{skip: 0, per_query: 3, choose: top}}
teacher: {{model: {place}/teacher, precision: "32"}}
student:
  config: {root}/configs/recipes/folder.yaml
  model.scorer.model: {place}/encoder
  model.loss: MSE
  data.max_length: 32
  data.max_query_length: 12
  data.lists_per_batch: 4
  run.interpolate: null
  trainer.accelerator: cpu
  trainer.max_epochs: 1
  trainer.precision: 32-true
evaluate: {{measures: [ndcg@10, mrr@10], intervals: false}}
"""


@pytest.fixture
def recipe(tmp_path):
    """Twelve queries, each of which shares words with several documents; and a teacher with a random head."""
    data = tmp_path / "data"
    data.mkdir()
    texts = {f"d{i}": f"how to {WORDS[i]} {WORDS[(i + 1) % 13]} the {WORDS[(5 * i) % 13]}" for i in range(13)}
    (data / "docs.jsonl").write_text("".join(json.dumps({"doc_id": d, "text": t}) + "\n" for d, t in texts.items()))
    (data / "queries.tsv").write_text("".join(f"q{i}\t{WORDS[i]} {WORDS[(i + 1) % 13]}\n" for i in range(12)))
    judged = [f"q{i} 0 d{i} 1\n" for i in range(12)]
    (data / "qrels.train.trec").write_text("".join(judged[:8]))
    (data / "qrels.dev.trec").write_text("".join(judged[8:]))
    save_tiny(tmp_path / "encoder")
    CrossEncoder(str(save_tiny(tmp_path / "head", head=True))).save(tmp_path / "teacher", ModelSettings(40, 12))
    path = tmp_path / "distil.yaml"
    path.write_text(RECIPE.format(place=tmp_path, root=ROOT))
    return path


def test_a_dry_run_shows_what_would_be_run_and_how_long_the_teacher_takes(recipe, tmp_path, capsys):
    with open(tmp_path / "data" / "qrels.train.trec", "a") as file:
        file.write("q1 0 d9 1\n")
    assert main(["distil", str(recipe), "--dry-run"]) == 0
    shown = capsys.readouterr().out
    for step in ("1-retrieve", "2-mine", "3-teacher", "4-student", "5-evaluate"):
        assert f"{step}\n  ltr " in shown
    # eight queries, three negatives each, nine relevant documents; four test queries with k candidates
    assert "\n8 training queries, 4 test queries; at most 33 + 32 pairs for the teacher: about " in shown
    assert not (tmp_path / "distilled").exists()


@pytest.mark.slow  # five commands, one of them a training
def test_from_a_collection_to_a_student_that_is_measured(recipe, tmp_path, capsys):
    assert main(["distil", str(recipe)]) == 0
    shown = capsys.readouterr().out
    done = tmp_path / "distilled"
    assert f"student      {done}/4-student/run/best" in shown
    assert [path.name for path in sorted(done.iterdir()) if path.is_dir()] == [
        *("1-retrieve", "2-mine", "3-teacher", "4-student", "5-evaluate")
    ]
    taught, mined = read_run(done / "3-teacher" / "teacher.trec"), read_run(done / "2-mine" / "mined.trec")
    for query_id in mined:  # its relevant document is scored, too
        own, negatives = (run[query_id][0].tolist() for run in (taught, mined))
        assert sorted(own) == sorted([*negatives, f"d{query_id[1:]}"])
    table = (done / "5-evaluate" / "table.txt").read_text()
    assert table in shown
    assert [line.split()[0] for line in table.splitlines() if line.startswith(("first", "teacher", "student"))][:3] == [
        *("first", "teacher", "student")
    ]
    assert main(["distil", str(recipe)]) == 0
    assert capsys.readouterr().out.count(": done already") == 5
