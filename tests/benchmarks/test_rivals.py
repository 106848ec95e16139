"""The environments of the packages that ltr is measured against: where they are looked for, how they are made."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.environments import script

ROOT = Path(__file__).parents[2]


@pytest.fixture
def rivals(tmp_path, monkeypatch):
    """The script as a module, with a folder of its own and a pip that only takes note of what it is asked."""
    module = script()
    monkeypatch.setenv("LTR_RIVALS", str(tmp_path))
    module.asked, module.refused = [], set()

    def pip(command, check):
        module.asked.append(command[command.index("--quiet") + 1 :])
        return subprocess.CompletedProcess(command, int(bool(module.refused & set(command))))

    monkeypatch.setattr(module.subprocess, "run", pip)
    monkeypatch.setattr(module.venv, "create", lambda place, with_pip: place.mkdir(exist_ok=True))
    listed = tmp_path / "list.txt"
    listed.write_text("# a remark\n\na==1\nb==2\n\n# optional: --no-deps\nc==3\n")
    module.NAMES = {"current": listed}
    return module


def test_they_lie_beside_the_repository_unless_a_folder_is_named(rivals, monkeypatch):
    monkeypatch.delenv("LTR_RIVALS")
    assert rivals.folder() == ROOT / ".venv-rivals"
    assert "/.venv-rivals/" in (ROOT / ".gitignore").read_text().split()


def test_what_is_not_installed_is_none(rivals, tmp_path):
    assert rivals.python_of("current") is None
    (tmp_path / "current/bin").mkdir(parents=True)
    (tmp_path / "current/bin/python").touch()
    assert rivals.python_of("current") is None, "a half-made environment"
    with pytest.raises(KeyError, match="no environment 'other'; there are current"):
        rivals.python_of("other")


def test_packages_are_installed_in_order_and_once(rivals, tmp_path):
    wanted = tmp_path / "current/bin/python"
    assert rivals.install("current") == wanted == rivals.python_of("current")
    assert rivals.asked == [["a==1", "b==2"], ["--no-deps", "c==3"]]
    rivals.install("current")
    assert len(rivals.asked) == 2
    rivals.NAMES["current"].write_text("a==2\n")
    rivals.install("current")
    assert rivals.asked[2:] == [["a==2"]]


def test_optional_packages_may_be_lacking_others_not(rivals, capsys):
    rivals.refused = {"c==3"}
    assert rivals.install("current") is not None
    assert "could not be installed; what needs it is left out" in capsys.readouterr().err
    rivals.refused = {"b==2"}
    rivals.NAMES["current"].write_text("b==2\n")
    with pytest.raises(SystemExit, match=r"pip could not install b==2 into .*current; see above"):
        rivals.install("current")
    assert rivals.python_of("current") is None


def test_the_lists_pin_every_package():
    for name, path in script().NAMES.items():
        lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
        assert all(line.count("==") == 1 for line in lines), name
        if path.is_relative_to(ROOT / "benchmarks"):
            assert lines[0].startswith("torch=="), "first, so that no other package chooses it"


def test_stand_ins_are_empty_and_only_for_what_is_lacking(rivals, monkeypatch):
    for name in ("nothing_here", "nothing_here.inside"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    import json

    rivals.stand_in("nothing_here", "nothing_here.inside", "json")
    try:
        from nothing_here.inside import anything

        assert anything(1, two=2) is None
        assert sys.modules["json"] is json
    finally:
        sys.modules.pop("nothing_here", None)
        sys.modules.pop("nothing_here.inside", None)


def test_no_file_is_named_like_a_module_of_python():
    # scripts of this folder are called by their path, which puts it before the standard library
    names = {path.stem for path in (ROOT / "benchmarks/speed/common").glob("*.py")}
    assert not names & sys.stdlib_module_names
