"""No output of a training takes the place of what it reads."""

import shutil

import pytest

from ltr.errors import ConfigError
from ltr.training.run import records
from ltr.training.run.inputs import check_inputs
from tests.training.run.short_runs import run


def test_no_output_replaces_an_input_however_it_is_named(tmp_path, monkeypatch):
    best = tmp_path / "w" / "x1" / "best"
    best.mkdir(parents=True)
    (best / "config.json").touch()
    (tmp_path / "link").symlink_to(best)
    (tmp_path / "other").symlink_to(tmp_path / "w" / "x1")
    monkeypatch.chdir(tmp_path)
    names = [
        "w/x1/best", "w/x1/../x1/best/", str(best), "link", "w/x1/best/config.json", "w/x1/best/config.json[:80%]",
        "other/best", "link/train", best,
    ]  # fmt: skip
    for folder in (tmp_path / "w" / "x1", tmp_path / "other"):
        for name in names:
            with pytest.raises(
                ConfigError, match=r"is read by this training, which would replace it: it writes .*best"
            ):
                check_inputs(folder, records.PARTS, {"model": {"scorer": [1, None, ("x", name)]}})
    free = {
        "a": "w/x1",
        "b": "w",
        "c": "ndcg@10",
        "d": "best",
        "e": "w/x1/notes.md",
        "f": "line\nline",
        "g": "a\0b",
        "h": "",
    }
    check_inputs(tmp_path / "w" / "x1", records.PARTS, free)
    (tmp_path / "w[1]" / "best").mkdir(parents=True)
    with pytest.raises(ConfigError, match=r"w\[1\]/best is read by this training"):
        check_inputs(tmp_path / "w[1]", records.PARTS, "w[1]/best[:80%]")
    shutil.rmtree(best)
    best.symlink_to(tmp_path / "away")  # a part that is a link
    (tmp_path / "away").mkdir()
    with pytest.raises(ConfigError, match="away is read by this training"):
        check_inputs(tmp_path / "w" / "x1", records.PARTS, str(tmp_path / "away"))


def test_a_training_does_not_replace_the_data_it_reads(fold, tmp_path):
    run(tmp_path / "run", fold, max_epochs=1)
    shutil.copytree(fold, tmp_path / "run" / "dev" / "Fold1")
    with pytest.raises(ConfigError, match="is read by this training, which would replace it"):
        run(tmp_path / "run", tmp_path / "run" / "dev" / "Fold1", overwrite=True)
    assert (tmp_path / "run" / "dev" / "Fold1" / "train.txt").exists()
    (tmp_path / "kept").mkdir()
    shutil.rmtree(tmp_path / "run" / "test")
    (tmp_path / "run" / "test").symlink_to(tmp_path / "kept")
    run(tmp_path / "run", fold, max_epochs=1, overwrite=True)
    assert (tmp_path / "kept").is_dir()
