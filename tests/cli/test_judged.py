"""Names, baselines and judgements of run files."""

from __future__ import annotations

import pytest

from ltr.cli.judged import baseline_of, inputs_of, judgements, names_of, read
from ltr.cli.main import main
from ltr.errors import ConfigError


def test_names_take_as_many_folders_as_they_need():
    assert names_of(["x/a.run", "y/b.run"], "it") == {"x/a.run": "a", "y/b.run": "b"}
    assert names_of(["x/a.run", "y/a.run"], "it") == {"x/a.run": "x/a", "y/a.run": "y/a"}
    assert names_of(["a.trec", "a.run"], "it") == {"a.trec": "a.trec", "a.run": "a.run"}
    with pytest.raises(ConfigError, match=r"it lists a file twice: a\.run a\.run"):
        names_of(["a.run", "a.run"], "it")
    with pytest.raises(ConfigError, match=r"it lists a file twice: a\.run \./a\.run"):
        names_of(["a.run", "./a.run"], "it")


def test_a_plain_folder_is_made_of_inputs_but_for_its_runs(tiny_folder, monkeypatch):
    found = {"docs.jsonl", "queries.tsv", "qrels.trec", "qrels.train.trec", "qrels.dev.trec"}
    for name in (str(tiny_folder), f"{tiny_folder}/dev", f"{tiny_folder}/dev[:80%]"):
        assert {path.name for path in inputs_of(name)} == found
    (tiny_folder.parent / "qrels.trec").touch()
    monkeypatch.chdir(tiny_folder.parent)
    for other in (None, "", "pydocs", "beir/scifact/train"):
        assert inputs_of(other) == []


@pytest.mark.parametrize("command", ["evaluate", "compare", "rerank", "retrieve"])
def test_no_command_writes_over_a_data_set(tiny_folder, capsys, command):
    run, qrels = str(tiny_folder / "run.first.trec"), str(tiny_folder / "qrels.trec")
    options = {
        "evaluate": ["--run", run, "--output", qrels],
        "compare": [run, f"{tiny_folder}/run.other.trec", "--html", qrels],
        "rerank": ["--model", "nowhere", "--run", run, "--output", qrels],
        "retrieve": ["--output", qrels],
    }
    assert main([command, *options[command], "--dataset", str(tiny_folder)]) == 1
    assert f"{qrels} would overwrite an input of this command" in capsys.readouterr().err


def test_the_baseline_is_a_name_or_a_file():
    assert [baseline_of(wanted, {"x/a.run": "a"}) for wanted in ("x/a.run", "a", None)] == ["a", "a", None]


def test_judgements_come_from_a_file_or_a_data_set(tiny_folder):
    from_file, none = judgements(str(tiny_folder / "qrels.trec"), None)
    from_set, collection = judgements(None, str(tiny_folder))
    assert from_file == from_set
    assert none is None
    assert collection.texts(["d3"]) == ["A sparse matrix holds mostly zeros."]
    for given, got in (((None, None), "neither"), (("a", "b"), "both"), (("", "b"), "both")):
        with pytest.raises(ConfigError, match=f"one of them; got {got}"):
            judgements(*given)


def test_a_run_has_the_name_that_tables_show(tiny_folder):
    assert read(str(tiny_folder / "run.first.trec"), "x/first").name == "x/first"
