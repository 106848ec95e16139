"""Files from elsewhere execute nothing, and no id becomes a path.

Each file here would leave a mark, were it opened by pickle, or were code imported because a file names it.
"""

import json
import os
import pickle

import numpy as np
import pytest
import torch

from ltr.cli.main import main
from ltr.data.tokens.pairs import load_tokenizer
from ltr.errors import LtrError
from ltr.experiments.cells.truth import Truth
from ltr.experiments.spec.reading import read_spec
from ltr.expressions import value_of
from ltr.inference import Reranker
from ltr.scorers.text.cross_encoder import CrossEncoder
from ltr.training.run.checkpoints import CheckpointFiles
from tests.conftest import DOCS, write_tiny
from tests.experiments.specs import content, write
from tests.tiny_model import save_tiny
from tests.training.run.conftest import fold  # noqa: F401
from tests.training.run.short_runs import run


@pytest.fixture
def mark(tmp_path):
    """The file that appears when something is executed; at the end it must not be there."""
    yield tmp_path / "executed"
    assert not (tmp_path / "executed").exists()


class Evil:
    """Touches a file when it is unpickled."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return open, (str(self.mark), "w")


def test_these_files_would_leave_a_mark(tmp_path):
    pickle.loads(pickle.dumps(Evil(tmp_path / "mark"))).close()
    assert (tmp_path / "mark").exists()


# ------------------------------------------------------------------ model folders


@pytest.fixture
def model(tmp_path, mark):
    """A model folder that brings code of its own for its network and its tokenizer."""
    folder = save_tiny(tmp_path / "model", head=True)
    (folder / "own.py").write_text(f"open({str(mark)!r}, 'w')\n")
    for name, classes in (
        (
            "config.json",
            {"AutoConfig": "own.Own", "AutoModel": "own.Own", "AutoModelForSequenceClassification": "own.Own"},
        ),
        ("tokenizer_config.json", {"AutoTokenizer": ["own.Own", "own.Own"]}),
    ):
        held = json.loads((folder / name).read_text())
        (folder / name).write_text(json.dumps({**held, "auto_map": classes}))
    return folder


def test_code_in_a_model_folder_is_not_run(model, mark):
    """What ltr knows it opens by its own means; a network that only that code knows is refused."""
    CrossEncoder(str(model))
    load_tokenizer(model)
    held = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**held, "model_type": "own", "architectures": ["Own"]}))
    with pytest.raises(LtrError, match="neither a folder here nor a model that can be fetched"):
        CrossEncoder(str(model))


@pytest.mark.parametrize("name", ["own.Own", "os.system", "posix.system", "subprocess:Popen", "../own.Own"])
def test_a_model_folder_does_not_choose_what_is_imported(model, mark, name, monkeypatch):
    monkeypatch.syspath_prepend(str(model))
    (model / "ltr.json").write_text(json.dumps({"scorer": name}))
    with pytest.raises(LtrError):
        Reranker.load(model)


# ------------------------------------------------------------------ trainings and benchmarks


@pytest.mark.filterwarnings("ignore")  # of short trainings
def test_a_checkpoint_with_more_than_plain_values_is_refused(fold, tmp_path, mark):  # noqa: F811
    run(tmp_path / "run", fold, max_epochs=1)
    path = tmp_path / "run" / "last.ckpt"
    said = r"last.ckpt: not a checkpoint of a training.*; remove it to begin"
    for held in (pickle.dumps(Evil(mark)), path.read_bytes()[:100], b""):
        path.write_bytes(held)
        with pytest.raises(LtrError, match=said):
            CheckpointFiles().load_checkpoint(path, weights_only=True)
    torch.save({"state_dict": Evil(mark)}, path)
    with pytest.raises(LtrError, match=said):
        run(tmp_path / "run", fold, resumed=True)


def test_results_of_a_benchmark_hold_no_objects(tmp_path, mark):
    np.savez(tmp_path / "truth.npz", facts=np.array([Evil(mark)], object))
    with pytest.raises(LtrError, match=r"truth\.npz"):
        Truth.load((tmp_path / "truth.npz").read_bytes(), "truth.npz")


@pytest.mark.parametrize(
    "text",
    [
        "os.system('touch {mark}')",
        "ListNet(targets=os.system('touch {mark}'))",
        "Matching(os.popen('touch {mark}'))",
        "Matching(subprocess.Popen(['touch', '{mark}']))",
        "__import__('os').system('touch {mark}')",
        "(lambda: open('{mark}', 'w'))()",
        "[open('{mark}', 'w') for _ in (1,)]",
        "open('{mark}', 'w')",
        "builtins.open('{mark}', 'w')",
        "ListNet.__init__.__globals__['__builtins__']['open']('{mark}', 'w')",
        "Numeric('os:system')",
    ],
)
def test_expressions_call_classes_of_links_and_losses_alone(text, mark):
    with pytest.raises(LtrError):
        value_of(text.format(mark=mark), packages=None)


@pytest.mark.parametrize(
    "change",
    [
        {"data": {"toy": {"class_path": "os.system", "init_args": {"command": "touch {mark}"}}}},
        {"scorers": {"tiny": {"class_path": "subprocess.Popen", "init_args": {"args": ["touch", "{mark}"]}}}},
        {"rankers": {"r": {"class_path": "subprocess.Popen", "init_args": {"args": ["touch", "{mark}"]}}}},
        {"trainer": {"logger": {"class_path": "subprocess.Popen", "init_args": {"args": ["touch", "{mark}"]}}}},
        {"trainer": {"callbacks": [{"class_path": "subprocess.Popen", "init_args": {"args": ["touch", "{mark}"]}}]}},
    ],
)
def test_a_spec_makes_data_scorers_and_rankers_alone(change, tmp_path, mark):
    values = content(tmp_path, tmp_path, tmp_path / "cells") | change
    text = json.dumps(values).replace("{mark}", str(mark))
    with pytest.raises(LtrError):
        read_spec(write(tmp_path / "spec.yaml", json.loads(text)))


# ------------------------------------------------------------------ ids

#: ids that are good words of a TREC file
PATHS = [
    "../../up",
    "/tmp/ltr-absolute",
    "..",
    ".",
    "~",
    "a/b/c",
    "C:\\d",
    "$HOME",
    "`id`",
    "%2e%2e",
    "-rf",
    "|cat",
    "nul",
    ".hidden.abcdefgh.part",
]


@pytest.mark.filterwarnings("ignore")
def test_no_id_becomes_a_path(tmp_path, monkeypatch, capsys):
    """All commands that read ids write what they were told to write, and nothing else."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LTR_CACHE", str(tmp_path / "cache"))
    data = write_tiny(tmp_path / "deep" / "data")
    out = tmp_path / "deep" / "out"
    out.mkdir()
    names = dict(zip(DOCS, PATHS, strict=False))
    queries = dict(zip(["q1", "q2", "q3", "q4"], PATHS[::-1], strict=False))
    for path in data.iterdir():
        lines = path.read_text().splitlines()
        if path.suffix == ".jsonl":
            records = [json.loads(line) for line in lines]
            lines = [json.dumps({**one, "doc_id": names[one["doc_id"]]}) for one in records]
        elif path.suffix == ".tsv":
            lines = ["\t".join([queries[line.split("\t")[0]], line.split("\t")[1]]) for line in lines]
        else:
            fields = [line.split() for line in lines]
            lines = [" ".join([queries[one[0]], one[1], names[one[2]], *one[3:]]) for one in fields]
        path.write_text("\n".join(lines) + "\n")
    model = save_tiny(tmp_path / "deep" / "model", head=True)

    def everything():
        kept = [path for path in tmp_path.rglob("*") if not path.is_relative_to(out)]
        return sorted(path for path in kept if not path.is_relative_to(tmp_path / "cache"))

    before, outside = everything(), os.path.exists("/tmp/ltr-absolute")
    first = str(data / "run.first.trec")
    for arguments in (
        ["retrieve", "--dataset", str(data), "-o", str(out / "bm25.trec")],
        ["rerank", "--model", str(model), "--dataset", str(data), "--run", "first", "-o", str(out / "ours.trec")],
        [
            "evaluate",
            "--run",
            first,
            str(out / "ours.trec"),
            "--dataset",
            str(data),
            "--per-query",
            str(out / "per.csv"),
        ],
        ["compare", first, str(out / "ours.trec"), "--dataset", str(data), "--html", str(out / "page.html")],
        ["fuse", "--run", first, str(out / "ours.trec"), "-o", str(out / "fused.trec")],
        ["data", "check", "--dataset", str(data)],
    ):
        assert main(arguments) == 0, capsys.readouterr().err
    capsys.readouterr()
    assert everything() == before
    assert os.path.exists("/tmp/ltr-absolute") == outside
    assert {path.name for path in out.iterdir()} == {"bm25.trec", "ours.trec", "per.csv", "page.html", "fused.trec"}
    assert not [path for path in (tmp_path / "cache").rglob("*") if "up" in path.name or path.name in PATHS]
