import json

import numpy as np
import pytest
import torch

from ltr.cli.main import main
from ltr.inference.reranker import Reranker
from ltr.io.trec import read_run
from ltr.scorers.cross_encoder import CrossEncoder
from ltr.scorers.settings import ModelSettings
from tests.tiny_model import WORDS, save_tiny


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A model, and a folder of 20 queries with 15 candidates each."""
    home = tmp_path_factory.mktemp("export")
    torch.manual_seed(2)
    CrossEncoder(str(save_tiny(home / "backbone", head=True))).save(home / "best", ModelSettings(60, 20))
    draw, data = np.random.default_rng(1), home / "data"
    data.mkdir()
    docs = {f"d{i}": " ".join(draw.choice(WORDS, draw.integers(5, 40))) for i in range(60)}
    (data / "docs.jsonl").write_text("".join(json.dumps({"doc_id": d, "text": t}) + "\n" for d, t in docs.items()))
    queries = {f"q{i}": " ".join(draw.choice(WORDS, 4)) for i in range(20)}
    (data / "queries.tsv").write_text("".join(f"{q}\t{t}\n" for q, t in queries.items()))
    (data / "qrels.trec").write_text("".join(f"{q} 0 {draw.choice(list(docs))} 1\n" for q in queries))
    lines = [
        f"{q} Q0 {d} {rank} {100 - rank} first\n"
        for q in queries
        for rank, d in enumerate(draw.choice(list(docs), 15, replace=False), 1)
    ]
    (data / "run.first.trec").write_text("".join(lines))
    return home


def arguments(home, out, *more):
    given = ["--model", str(home / "best"), "--dataset", str(home / "data"), "--run", "first", "--output", str(out)]
    return ["export", *given, "--calibration", "5", *more]


def test_a_model_is_exported_checked_and_used(home, tmp_path, capsys):
    out = tmp_path / "int8"
    assert main(arguments(home, out, "--min-tau", "0.8", "--max-ndcg-change", "1")) == 0
    shown = capsys.readouterr().out
    assert "checked on 15 other queries, 225 documents, against the model in float32:" in shown
    assert "(wanted: at least 0.8)" in shown
    assert f"next: ltr rerank --model {out} --dataset {home / 'data'} --run first --output int8.trec" in shown
    command = [
        "rerank",
        "--model",
        str(out),
        "--dataset",
        str(home / "data"),
        "--run",
        "first",
        "-o",
        str(tmp_path / "r"),
    ]
    assert main(command) == 0
    assert len(read_run(tmp_path / "r")) == 20
    assert Reranker.load(out).precision == "int8"


def test_an_export_beyond_the_tolerance_is_refused_with_the_figures(home, tmp_path, capsys):
    assert main(arguments(home, tmp_path / "int8", "--min-tau", "1")) == 1
    shown = capsys.readouterr()
    assert "kept in bfloat16                   5 of 5 products: layer 0 project, layer 0 widen" in shown.out
    assert "ltr export: export refused, nothing was written: Kendall's tau is 0." in shown.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (["--depth", "0"], "--depth must be at least 1, got 0"),
        (["--calibration", "11"], "has 20 queries with candidates; 11 to calibrate on would leave fewer"),
        (["--min-tau", "2"], "min_tau must be in"),
        (["--run", "nowhere"], "'nowhere' is no file and no known source"),
    ],
)
def test_options_that_do_not_fit(home, tmp_path, capsys, more, sentence):
    assert main(arguments(home, tmp_path / "int8", *more)) == 1
    assert sentence in capsys.readouterr().err


def test_the_model_is_not_written_over(home, capsys):
    assert main(arguments(home, home / "best")) == 1
    assert "best is there and is no earlier export; give a new folder, or remove it" in capsys.readouterr().err
    assert (home / "best" / "model.safetensors").is_file()


def test_without_judgements(home, tmp_path, capsys):
    bare = tmp_path / "bare"
    bare.mkdir()
    for name in ("docs.jsonl", "queries.tsv", "run.first.trec"):
        (bare / name).write_text((home / "data" / name).read_text())
    given = arguments(home, tmp_path / "int8", "--min-tau", "0.5")
    given[given.index("--dataset") + 1] = str(bare)
    assert main(given) == 0
    assert "not checked: none of these queries is judged" in capsys.readouterr().out
