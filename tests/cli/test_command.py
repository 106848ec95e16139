"""A signature becomes options, a docstring becomes help."""

from __future__ import annotations

import logging
import os
import shlex
import sys
from pathlib import Path
from typing import Literal

import pytest

from ltr.cli.command import at_least, beside_output, check_outputs, parser_of, run, shell, talk
from ltr.errors import ConfigError


def command(
    source: str,
    count: int = 3,
    names: list[str] | None = None,
    shape: Literal["flat", "deep"] = "flat",
    share: float | None = None,
    dry_run: bool = False,
):
    """Do one thing.

    And explain it at 100 %.

    Args:
        source: where it comes from, told
            in two lines.
        count: how often.
        names: of things.
        shape: of the result.
        share: of the whole, 5 % say.
        dry_run: only say what would be done.

    Raises:
        ValueError: never mind.
    """
    return source, count, names, shape, share, dry_run


def test_defaults():
    assert run(command, ["--source", "a"], "ltr x") == ("a", 3, None, "flat", None, False)


def test_all_kinds_of_options():
    argv = ["--source", "a", "--count", "5", "--names", "x", "y", "--shape", "deep", "--share", "0.25", "--dry-run"]
    assert run(command, argv, "ltr x") == ("a", 5, ["x", "y"], "deep", 0.25, True)


def test_underscores_and_hyphens_are_both_taken():
    for flag, value in (("--dry_run", True), ("--dry-run", True), ("--no-dry-run", False)):
        assert run(command, ["--source", "a", flag], "ltr x")[-1] is value


def test_short_options():
    assert run(command, ["-s", "a", "-n", "x", "y"], "ltr x", short={"source": "-s", "names": "-n"})[2] == ["x", "y"]


def test_positional_arguments():
    def copy(kind: Literal["link", "loss"], names: list[str] = ["all"], /, times: int = 1):  # noqa: B006
        """Copy."""
        return kind, names, times

    assert run(copy, ["link", "a", "b", "--times", "2"], "ltr copy") == ("link", ["a", "b"], 2)
    assert run(copy, ["loss"], "ltr copy") == ("loss", ["all"], 1)


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ([], "the following arguments are required: --source"),
        (["--source", "a", "--shape", "round"], "invalid choice: 'round'"),
        (["--source", "a", "--count", "many"], "argument --count: invalid int value: 'many'"),
        (["--source", "a", "--colour", "red"], "no option --colour; did you mean '--count'?"),
        (["--sour", "a"], "the following arguments are required: --source"),
        (
            ["--source", "a", "--names", "x", "--count", "2", "--names", "y"],
            "argument --names: is given twice; list all values behind one",
        ),
    ],
)
def test_wrong_usage_ends_with_status_2(capsys, argv, message):
    with pytest.raises(SystemExit) as exit:
        run(command, argv, "ltr x")
    assert exit.value.code == 2
    err = capsys.readouterr().err
    assert "usage: ltr x" in err
    assert message in err


@pytest.mark.parametrize(("given", "value"), [("auto", "auto"), ("512", 512)])
def test_a_number_or_a_word(given, value):
    def sized(tokens: int | Literal["auto"] | None = None):
        """Do it.

        Args:
            tokens: at once.
        """
        return tokens

    assert run(sized, [], "ltr x") is None
    assert run(sized, ["--tokens", given], "ltr x") == value
    assert "--tokens INT|auto" in parser_of(sized, "ltr x").format_help()


def test_neither_the_number_nor_the_word(capsys):
    def sized(tokens: int | Literal["auto"] | None = None):
        """Do it.

        Args:
            tokens: at once.
        """

    with pytest.raises(SystemExit):
        run(sized, ["--tokens", "all"], "ltr x")
    assert "argument --tokens: invalid int or auto value: 'all'" in capsys.readouterr().err


def test_a_list_with_a_default_is_given_once(capsys):
    def listed(of: list[str] = ["a"]):  # noqa: B006
        """Do it.

        Args:
            of: things.
        """
        return of

    assert run(listed, ["--of", "b", "c"], "ltr x", {"of": "-o"}) == ["b", "c"]
    with pytest.raises(SystemExit):
        run(listed, ["-o", "b", "--of", "c"], "ltr x", {"of": "-o"})
    assert "argument --of/-o: is given twice; list all values behind one" in capsys.readouterr().err


def test_options_have_a_least_value():
    at_least(1, depth=1, top_k=None)
    with pytest.raises(ConfigError, match=r"^--top-k must be at least 2, got 1$"):
        at_least(2, depth=2, top_k=1)


def test_no_input_is_written_over(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link").symlink_to(tmp_path)
    check_outputs({"--output": "a", "--table": None, "--page": ""}, ["b", None, "", "bm25"])
    for same in ("b", "./b", "link/b", str(tmp_path / "b")):
        with pytest.raises(
            ConfigError, match=f"^--output {same} would overwrite an input of this command; give another"
        ):
            check_outputs({"--output": same}, ["a", "b"])
        with pytest.raises(
            ConfigError, match=f"^--table {same} would overwrite what --output writes; give another file"
        ):
            check_outputs({"--output": "b", "--table": same}, [])


def test_places_where_no_file_can_be(tmp_path):
    (tmp_path / "file").touch()
    for folder in (tmp_path, f"{tmp_path}/"):
        with pytest.raises(ConfigError, match=f"^--output {folder} is a folder; give a file"):
            check_outputs({"--output": folder}, [])
    for below in (tmp_path / "file" / "x.trec", tmp_path / "file" / "new" / "x.trec"):
        with pytest.raises(ConfigError, match=rf"{below}: {tmp_path}/file is a file, and nothing can be written below"):
            check_outputs({"--output": below}, [])
    check_outputs({"--output": tmp_path / "new" / "x.trec"}, [])


def test_a_part_of_a_folder_that_is_read_is_not_overwritten(tmp_path):
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").touch()
    (tmp_path / "link").symlink_to(model)
    for place in (model / "config.json", tmp_path / "link" / "config.json"):
        with pytest.raises(
            ConfigError, match=rf"^--output {place} would overwrite a part of {tmp_path}/link, an input;"
        ):
            check_outputs({"--output": place}, [tmp_path / "link"])
    check_outputs({"--output": model / "new.trec", "--per-query": tmp_path / "config.json"}, [model])


def test_devices_and_standard_output_may_be_given_twice(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    check_outputs({"--output": os.devnull, "--per-query": os.devnull, "--html": "-", "--page": "-"}, [os.devnull, "-"])
    assert beside_output("-") is beside_output("/dev/fd/1") is sys.stderr
    assert beside_output(None) is beside_output("a.trec") is beside_output(os.devnull) is sys.stdout


def test_help_comes_from_the_docstring():
    text = parser_of(command, "ltr x").format_help()
    assert "usage: ltr x" in text
    assert "Do one thing.\n\nAnd explain it at 100 %.\n" in text
    words = " ".join(text.split())
    assert "where it comes from, told in two lines." in words
    assert "how often. (default: 3)" in words
    assert "of the whole, 5 % say." in words
    assert "of the result. (default: flat)" in words
    assert "never mind" not in words
    assert "Args" not in words


def test_every_option_of_every_command_has_its_help():
    import importlib

    from ltr.cli.main import COMMANDS

    for name in ("evaluate", "retrieve", "rerank"):
        module = importlib.import_module(f"ltr.cli.{COMMANDS[name][0]}")
        function = getattr(module, name)
        parser = parser_of(function, f"ltr {name}")
        silent = [a.dest for a in parser._actions if not (a.help or "").strip()]
        assert silent == [], name


def test_log_lines_appear_undecorated_and_once(capsys):
    logger = logging.getLogger("ltr")
    before, level = list(logger.handlers), logger.level
    logger.handlers.clear()
    try:
        talk()
        talk()
        logging.getLogger("ltr.part").info("it begins")
        assert capsys.readouterr().err == "it begins\n"
    finally:
        logger.handlers[:] = before
        logger.setLevel(level)


def test_words_of_a_next_command_survive_the_shell():
    told = shell("--dataset", Path("my folder/dev"), "--run", "it's.trec", "log.csv[:80%]", "$HOME")
    assert shlex.split(told) == ["--dataset", "my folder/dev", "--run", "it's.trec", "log.csv[:80%]", "$HOME"]
    assert shell("--dataset", "folder/dev") == "--dataset folder/dev"
