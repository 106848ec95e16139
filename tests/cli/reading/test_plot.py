"""``ltr plot`` from the command line."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from ltr.cli.main import main
from tests.own_classes import own  # noqa: F401


def test_draws_links(tmp_path, capsys):
    output = tmp_path / "links.svg"
    arguments = [
        "Sigmoid(center=2)",
        "Exp.focus(range=(1, 3)) + 0.1 * Identity()",
        "--range",
        "-3",
        "3",
        "--target",
        "-1",
        "1",
    ]
    assert main(["plot", "link", *arguments, "-o", str(output), "--same-budget"]) == 0
    assert capsys.readouterr().out == f"wrote {output}\n"
    assert output.read_text().startswith("<?xml")
    assert output.read_text().count('<g id="axes_') == 4


def test_labels_stand_under_the_slope_and_their_largest_are_named(tmp_path, capsys):
    log = tmp_path / "log.csv"
    seconds = np.expm1(np.arange(11.0))  # what is learnt: 0 to 10, of which the top fifth begins at 8
    log.write_text("list_id,seconds,a\n" + "".join(f"{i % 3},{s!r},{i}\n" for i, s in enumerate(seconds.tolist())))
    output = tmp_path / "links.svg"
    assert main(["plot", "link", "Sigmoid(center=8)", "--data", str(log), "-o", str(output)]) == 0
    told = capsys.readouterr().out
    assert f"wrote {output}\nthe largest 20 % of 11 labels: focus(range=(8, 10)), such as --model.loss=" in told
    assert "'Matching(Sigmoid.focus(range=(8, 10)))'" in told
    assert output.read_text().count('<g id="axes_') == 4  # one more, for the labels
    standardised = (np.arange(11.0) - 5) / np.sqrt(10)
    given = ["--data", str(log), "--standardise", "--top", "0.5", "-o", str(output)]
    assert main(["plot", "link", "Exp()", *given]) == 0
    assert f"range=({standardised[5]:.4g}, {standardised[10]:.4g})" in capsys.readouterr().out


def test_draws_losses(tmp_path):
    output = tmp_path / "losses.png"
    assert main(["plot", "loss", "Matching(Sigmoid(center=2))", "RankNet()", "--output", str(output)]) == 0
    assert output.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["link", "Sigmod()"], "no link or loss 'Sigmod'; did you mean 'Sigmoid'?"),
        (["link", "{class_path: Sigmod}"], "no link or loss 'Sigmod'; did you mean 'Sigmoid'?"),
        (["link", "{class_path: "], "'{class_path: ' starts as a mapping and is none in YAML: while parsing"),
        (["link", "nolib.Steep()"], "No module named 'nolib': there is no 'nolib.Steep'; is it in the current folder"),
        (["link", "RankNet()"], "'RankNet()' must be a link, got RankNet; did you mean ltr plot loss?"),
        (["loss", "Exp()"], "'Exp()' must be a loss, got Exp; did you mean ltr plot link?"),
        (["link", "Exp()", "--labels", "1", "0"], "--labels does not go with link"),
        (["loss", "RankNet()", "--target", "1"], "--target does not go with loss"),
        (["loss", "RankNet()", "--data", "x.csv"], "--data does not go with loss"),
        (["link", "Exp()", "--data", "none.csv"], "data: no file none.csv"),
        (["link", "Exp()", "--range", "1"], "--range takes two scores, lowest and highest, got 1"),
        (["link", "Exp()", "--output", "x.gif"], "the output must end in .png, .svg, .pdf"),
    ],
)
def test_says_what_is_wrong(arguments, sentence, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["plot", *arguments]) == 1
    assert sentence in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_draws_what_is_the_users_own_and_what_yaml_says(own, tmp_path, capsys):  # noqa: F811
    expressions = [f"{own}.Mine(alpha=2)", "{class_path: Matching, init_args: {link: 2 * Exp()}}"]
    assert main(["plot", "loss", *expressions, "--output", str(tmp_path / "own.svg")]) == 0
    assert main(["plot", "link", f"Numeric('{own}:steep')", "--output", str(tmp_path / "link.svg")]) == 0
    assert capsys.readouterr().out == f"wrote {tmp_path}/own.svg\nwrote {tmp_path}/link.svg\n"


def test_the_class_of_a_user_is_told_about(own, capsys):  # noqa: F811
    assert main(["losses", f"{own}.Mine"]) == 0
    assert capsys.readouterr().out == f"{own}.Mine(alpha=1.0, targets=Scores())\n\nSquared error, alpha times.\n"


@pytest.mark.parametrize("command", ["plot", "losses"])
def test_help_does_not_import_torch_or_matplotlib(command):
    code = (
        "import sys; from ltr.cli.main import main\n"
        f"try: main([{command!r}, '--help'])\n"
        "except SystemExit: pass\n"
        "assert not {'torch', 'matplotlib', 'numpy'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"usage: ltr {command}" in done.stdout


def test_a_link_that_takes_its_range_from_labels_is_drawn_with_those_of_the_data(tmp_path, capsys):
    log = tmp_path / "log.csv"
    log.write_text("list_id,seconds,a\n" + "".join(f"{i % 3},{i},{i}\n" for i in range(9)))
    given = ["plot", "link", "Sigmoid.focus(top=0.5)", "-o", str(tmp_path / "focus.svg")]
    assert main([*given, "--data", str(log)]) == 0
    assert main(given) == 1
    assert "takes its range from training labels" in capsys.readouterr().err
