"""Manifest and metrics of a run folder."""

import json

import pytest

from ltr.errors import DataError
from ltr.training.run.records import read_manifest, read_metrics, write_manifest, write_metrics


def test_manifest_grows(tmp_path):
    write_manifest(tmp_path, status="running")
    write_manifest(tmp_path, status="finished", step=7)
    manifest = read_manifest(tmp_path)
    assert manifest["status"] == "finished"
    assert manifest["step"] == 7
    assert manifest["versions"]["torch"]
    assert json.loads((tmp_path / "manifest.json").read_text()) == manifest


def test_no_manifest_is_told(tmp_path):
    with pytest.raises(DataError, match=r"is no run folder of ltr: no file .*manifest.json"):
        read_manifest(tmp_path)


def test_metrics_round_trip_and_cut_at_the_resumed_step(tmp_path):
    rows = [{"step": 1, "epoch": 0, "train/loss": 0.5}, {"step": 2, "epoch": 0, "dev/mrr@10": 0.25}]
    write_metrics(tmp_path, rows)
    assert (tmp_path / "metrics.csv").read_text().splitlines()[0] == "step,epoch,dev/mrr@10,train/loss"
    assert read_metrics(tmp_path, until_step=9) == rows
    assert read_metrics(tmp_path, until_step=1) == rows[:1]


def test_no_metrics_yet(tmp_path):
    assert read_metrics(tmp_path, until_step=9) == []


def test_a_broken_row_is_named(tmp_path):
    (tmp_path / "metrics.csv").write_text("step,epoch,train/loss\n1,0,0.5\n2,zero,0.4\n")
    with pytest.raises(DataError, match=r"metrics.csv:3: a row of numbers was expected"):
        read_metrics(tmp_path, until_step=9)
