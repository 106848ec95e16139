"""``make bench`` runs every script, in full or in small, and says which failed."""

from __future__ import annotations

import sys

import pytest


@pytest.fixture
def run_all(speed, tmp_path, monkeypatch):
    from common import run_all

    monkeypatch.setattr(run_all, "RESULTS", tmp_path)
    monkeypatch.setattr(run_all, "QUICK", tmp_path / "quick")
    return run_all


def test_every_script_can_be_made_small(run_all, speed):
    scripts = run_all.scripts()
    assert {"rerank", "train", "machine", "losses", "evaluate", "letor", "loading"} <= {path.stem for path in scripts}
    for path in scripts:
        small = run_all.command(path, quick=True)
        assert small[:2] == [sys.executable, str(path)]
        assert small[-1] == str(run_all.QUICK / f"{path.stem}.json")
        # something makes it small, and the script knows it
        assert len(small) >= 5
        source = path.read_text()
        assert all(f'"{word}"' in source for word in small[2:] if word.startswith("--"))
        assert run_all.command(path, quick=False) == [sys.executable, str(path)]


def test_a_script_is_named_as_it_is(run_all):
    assert [path.stem for path in run_all.scripts(["letor"])] == ["letor"]
    with pytest.raises(SystemExit, match="bench: no script lator; there are align, bulk, busy, evaluate, "):
        run_all.scripts(["lator"])


def test_what_needs_a_gpu_is_left_out_and_said(run_all, capsys, monkeypatch):
    import torch

    paths = run_all.scripts(["gpu", "letor"])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert [path.stem for path in run_all.possible(paths, quick=False)] == ["letor"]
    assert "bench: gpu is left out: no GPU here" in capsys.readouterr().err
    assert run_all.possible(paths, quick=True) == paths
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert run_all.possible(paths, quick=False) == paths


def test_all_run_though_one_fails(run_all, tmp_path, capsys):
    paths = [tmp_path / name for name in ("one.py", "two.py", "three.py")]
    for path in paths:
        failing = "raise SystemExit(1)" if path.stem == "two" else f"open({str(tmp_path / path.stem)!r}, 'w')"
        path.write_text(f'"""Takes about 7 minutes."""\n"--quick"\n{failing}\n')
    paths[2].write_text(paths[2].read_text().replace("about 7 minutes", "as long as it takes"))
    assert run_all.run(paths, quick=False) == ["two"]
    assert (tmp_path / "one").exists()
    assert (tmp_path / "three").exists()
    told = capsys.readouterr().err
    assert "bench: about 14 minutes, and what three take" in told
    assert "bench: two (2 of 3, 0 minutes so far)" in told
