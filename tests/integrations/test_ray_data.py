"""On a Ray cluster the same scores come out as in one process, and a worker that dies loses nothing."""

import importlib.util
import json
import os
import shutil
import signal
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ltr.cli.main import main
from ltr.errors import ConfigError, DataError, MissingExtra
from ltr.inference import Reranker
from ltr.inference.bulk import Columns, part_name
from ltr.integrations.ray_data import Model, Workers, score_on_ray, scored
from ltr.scorers import BiEncoder
from ltr.settings import TwinSettings
from tests.conftest import write_tiny
from tests.tiny_model import save_tiny

ROOT = Path(__file__).parents[2]
#: a cluster takes ten seconds to start and to stop, and its workers as long to import torch
on_cluster = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="ray is not installed: pip install 'ltr[ray]'"),
    pytest.mark.filterwarnings("ignore"),  # of Ray and what it imports
]


def marked(test):
    for mark in on_cluster:
        test = mark(test)
    return test


@pytest.fixture
def pairs(tmp_path):
    """A Parquet file of 400 rows in groups of 90."""
    import pyarrow as pa
    from pyarrow.parquet import write_table

    draw = np.random.default_rng(0)
    words = ["join", "two", "paths", "sort", "list", "file", "read", "the"]
    rows = {
        "qid": [f"q{i // 10}" for i in range(400)],
        "query": [" ".join(draw.choice(words, 3)) for _ in range(400)],
        "text": [" ".join(draw.choice(words, draw.integers(1, 20))) for _ in range(400)],
    }
    write_table(pa.table(rows), tmp_path / "pairs.parquet", row_group_size=90)
    return tmp_path / "pairs.parquet"


@pytest.fixture
def reachable(monkeypatch):
    """Workers find ltr where this process does."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))


def read(folder):
    return pd.concat([pd.read_parquet(path) for path in sorted(folder.glob("part-*.parquet"))], ignore_index=True)


def workers_here():
    """Process ids of the workers that score."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            name = (place / "cmdline").read_bytes()
        except OSError:
            continue
        if b"_Shards" in name and b"ray::" in name:
            found.append(int(place.name))
    return found


@marked
def test_a_worker_that_is_killed_loses_nothing(pairs, model_folder, tmp_path, reachable):
    command = ["score", str(pairs), "--model", str(model_folder), "--shard", "20", "--keep", "qid", "--precision", "32"]
    assert main([*command, "--output", str(tmp_path / "here")]) == 0
    killed = []

    def kill(rows):
        if not killed:
            killed.append(workers_here()[0])
            os.kill(killed[0], signal.SIGKILL)

    signature = {"model": "x"}
    model = Model(str(model_folder), "cpu", "32")
    total = score_on_ray(
        pairs, tmp_path / "there", model, Columns(keep=("qid",)), signature, "local", Workers(2), 20, kill
    )
    assert total == 400
    assert killed
    assert [path.name for path in sorted((tmp_path / "there").glob("*part*"))] == [part_name(i) for i in range(20)]
    here, there = read(tmp_path / "here"), read(tmp_path / "there")
    pd.testing.assert_frame_equal(here.drop(columns="score"), there.drop(columns="score"))
    np.testing.assert_allclose(here["score"], there["score"], atol=1e-6)


@marked
def test_the_command_goes_on_where_it_ended_and_tells_a_row_that_cannot_be_scored(
    pairs, model_folder, tmp_path, reachable, capsys
):
    out = tmp_path / "there"
    command = ["score", str(pairs), "--model", str(model_folder), "--shard", "100", "--ray", "local", "--workers", "1"]
    assert main([*command, "--output", str(out)]) == 0
    assert "400 scores in 4 files" in capsys.readouterr().out
    whole = read(out)
    kept = (out / part_name(0)).stat().st_mtime_ns
    (out / part_name(2)).unlink()
    assert main([*command, "--output", str(out)]) == 0
    assert (out / part_name(0)).stat().st_mtime_ns == kept
    pd.testing.assert_frame_equal(read(out), whole)
    rows = pd.read_parquet(pairs)
    rows.loc[150, "query"] = " "
    rows.to_parquet(tmp_path / "bad.parquet")
    assert main([*command[:1], str(tmp_path / "bad.parquet"), *command[2:], "--output", str(tmp_path / "bad")]) == 1
    assert "bad.parquet: row 150: needs a query that is not empty" in capsys.readouterr().err


@marked
def test_a_run_is_reranked_as_in_one_process(model_folder, tmp_path, reachable):
    data = write_tiny(tmp_path / "tiny")
    command = [
        "rerank",
        "--model",
        str(model_folder),
        "--dataset",
        str(data),
        "--run",
        "first",
        "--precision",
        "32",
        "--weight",
        "0.5",
    ]
    assert main([*command, "--output", str(tmp_path / "here.trec")]) == 0
    assert main([*command, "--output", str(tmp_path / "there.trec"), "--ray", "local", "--workers", "2"]) == 0
    here, there = (
        [line.split()[:4] for line in (tmp_path / f"{name}.trec").read_text().splitlines()]
        for name in ("here", "there")
    )
    assert here == there


@marked
def test_a_dataset_of_ray_gets_a_column_of_scores(pairs, model_folder, reachable):
    import ray

    from ltr.machine.cluster import connected

    connected("local", "to test")
    try:
        rows = scored(ray.data.read_parquet(str(pairs)), str(model_folder), workers=Workers(1), batch=64).to_pandas()
    finally:
        ray.shutdown()
    reranker = Reranker.load(model_folder, "cpu")
    wanted = reranker.score(list(zip(rows["query"], rows["text"], strict=True)))
    np.testing.assert_allclose(rows["score"], wanted, atol=1e-5)


@marked
def test_a_collection_is_encoded_as_in_one_process(tmp_path, reachable, capsys):
    data = write_tiny(tmp_path / "tiny")
    BiEncoder(str(save_tiny(tmp_path / "encoder"))).save(tmp_path / "model", TwinSettings(40, 20))
    command = ["encode", "--model", str(tmp_path / "model"), "--dataset", str(data), "--precision", "32", "--output"]
    for number in (1, 2, 3):
        assert main([*command, str(tmp_path / "here"), "--shard", f"{number}/3"]) == 0
    there = [*command, str(tmp_path / "there"), "--ray", "local", "--workers", "2", "--shards", "3"]
    assert main(there) == 0
    assert "there: 8 vectors of 32 numbers, 3 shards of" in capsys.readouterr().out
    files = [path.name for path in (tmp_path / "here").glob("*.npy")]
    assert len(files) == 6
    for name in files:
        one, other = (np.load(tmp_path / place / name) for place in ("here", "there"))
        if name.startswith("ids"):
            assert one.tolist() == other.tolist()
        else:
            np.testing.assert_allclose(one, other, atol=1e-6)
    # begun and finished there, in as many shards as it has
    (tmp_path / "there" / files[0]).unlink()
    assert main([*there[:-2]]) == 0
    assert (tmp_path / "there" / files[0]).exists()
    assert main([*command, str(tmp_path / "there"), "--shard", "1/2"]) == 1
    assert "was made from another number of shards (shards 3 there, 2 here)" in capsys.readouterr().err


# ------------------------------------------------------------------ without a cluster


def test_parts_of_a_file_are_its_rows(pairs, tmp_path):
    from ltr.inference.bulk_rows import count_rows, read_part, read_rows

    assert count_rows(pairs, ["qid"]) == 400
    whole = _joined(read_rows(pairs, ["qid", "text"], 70))
    for start, stop in ((0, 90), (85, 95), (90, 180), (395, 400), (0, 400), (400, 400)):
        part = _joined(read_part(pairs, ["qid", "text"], 70, start, stop))
        assert part == [rows[start:stop] for rows in whole]


def _joined(parts):
    """Places, and both columns, of all parts."""
    parts = list(parts)
    return [
        [place for part in parts for place in part.places],
        *([value for part in parts for value in part.columns[name]] for name in ("qid", "text")),
    ]


def test_what_is_no_parquet_is_refused(tmp_path):
    (tmp_path / "pairs.tsv").write_text("query\ttext\na\tb\n")
    with pytest.raises(ConfigError, match="workers read parts of a file each, which takes Parquet"):
        score_on_ray(tmp_path / "pairs.tsv", tmp_path / "out", Model("m"), Columns(), {}, "local")
    assert not (tmp_path / "out").exists()


def test_a_column_that_is_not_there_is_told_before_a_cluster_is_sought(pairs, tmp_path):
    with pytest.raises(DataError, match="has no column 'body'; known: qid"):
        score_on_ray(pairs, tmp_path / "out", Model("m"), Columns(text="body"), {}, "local")


def test_ray_that_is_not_installed_is_named(pairs, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtra, match=r"ray is needed to score on a cluster.*pip install 'ltr\[ray\]'"):
        score_on_ray(pairs, tmp_path / "out", Model("m"), Columns(), {}, "local")


@pytest.mark.parametrize("form", ["", "pair"])
def test_workers_open_what_is_open_here(form, model_folder, tmp_path):
    place = shutil.copytree(model_folder, tmp_path / "model")
    own = json.loads((place / "ltr.json").read_text())
    (place / "ltr.json").write_text(json.dumps(own | {"form": form}))
    given = {"max_length": 40} if form else {"max_length": 40, "max_query_length": 7, "passages": "max", "stride": 9}
    here = Reranker.load(place, "cpu", "32", batch_tokens=128, **given)
    there = Model.like(str(place), here, "cpu", batch_tokens=128).opened()
    assert (there.settings, there.precision) == (here.settings, here.precision)
    assert there.scorer.batch_tokens == here.scorer.batch_tokens == 128


def test_workers_take_what_the_cluster_has():
    class Ray:
        def __init__(self, **there):
            self.there = there

        def cluster_resources(self):
            return self.there

    assert Workers().share(Ray(CPU=4.0)) == (4, {"num_cpus": 1})
    assert Workers().share(Ray(CPU=4.0, GPU=2.0)) == (2, {"num_gpus": 1})
    assert Workers(3, "cpu").share(Ray(CPU=4.0, GPU=2.0)) == (3, {"num_cpus": 1})
    with pytest.raises(ConfigError, match="--workers must be at least 1, got 0"):
        Workers(0)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["rerank", "--model", "m", "--dataset", "d", "--query", "q", "--ray", "local"], "--ray reranks a whole run"),
        (
            ["rerank", "--model", "m", "--dataset", "d", "--run", "r", "--output", "o", "--workers", "2"],
            "--workers goes only with --ray",
        ),
        (["score", "p.parquet", "--model", "m", "--output", "o", "--workers", "2"], "--workers goes only with --ray"),
    ],
)
def test_options_that_need_each_other(words, said, capsys):
    assert main(words) == 1
    assert said in capsys.readouterr().err
