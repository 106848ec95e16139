"""``ltr recipes`` from the command line."""

import yaml

from ltr.cli.main import main
from ltr.io.recipes import recipe, shipped


def test_all_are_listed_with_what_they_are_for(capsys):
    assert main(["recipes"]) == 0
    lines = capsys.readouterr().out.splitlines()
    for name in shipped():
        (line,) = [line for line in lines if line.split()[:1] == [name]]
        assert len(line.split()) > 2
    assert lines.index("whole trainings") < lines.index("loss/")


def test_one_is_printed_as_it_is(capsys):
    assert main(["recipes", "engagement"]) == 0
    assert capsys.readouterr().out == recipe("engagement").read_text()


def test_a_copy_never_replaces(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["recipes", "loss/matching", "--copy"]) == 0
    assert capsys.readouterr().out == "matching.yaml; next: ltr fit --config matching.yaml\n"
    assert (tmp_path / "matching.yaml").read_text() == recipe("loss/matching").read_text()
    assert main(["recipes", "loss/matching", "--copy"]) == 1
    assert "matching.yaml is there already; give another file with --output" in capsys.readouterr().err
    assert main(["recipes", "benchmarks/quick", "-o", "mine.yaml"]) == 0
    assert capsys.readouterr().out == "mine.yaml; next: ltr benchmark mine.yaml\n"
    assert yaml.safe_load((tmp_path / "mine.yaml").read_text())["name"] == "quick"


def test_what_to_copy_is_named(capsys):
    assert main(["recipes", "--copy"]) == 1
    assert "--copy and --output take one recipe" in capsys.readouterr().err
    assert main(["recipes", "engagment"]) == 1
    assert "did you mean 'engagement'?" in capsys.readouterr().err
