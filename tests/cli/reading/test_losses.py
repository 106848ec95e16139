"""``ltr losses`` tells what there is."""

from __future__ import annotations

import ltr.links
from ltr.cli.main import main
from ltr.losses import FAMILIES


def test_lists_every_loss_with_family_targets_and_sentence(capsys):
    assert main(["losses"]) == 0
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.split()[:3] == ["family", "loss", "targets"]
    expected = [(family, name) for family, members in FAMILIES.items() for name in members]
    assert [tuple(line.split()[:2]) for line in lines] == expected
    softmax = next(line for line in lines if "SoftmaxCE" in line)
    assert "Gains()" in softmax
    assert all(len(line.split()) > 5 for line in lines)
    assert not any(line.endswith(("e.g", ".")) for line in lines)


def test_lists_every_link(capsys):
    assert main(["losses", "--links"]) == 0
    lines = capsys.readouterr().out.splitlines()[1:]
    assert {line.split()[0] for line in lines} == set(ltr.links.__all__) - {"Link", "ShapedLink"}
    assert next(line for line in lines if line.startswith("Exp")).split()[1:5] == [
        "center,",
        "width,",
        "scale,",
        "tail",
    ]


def test_tells_about_one_in_any_spelling(capsys):
    assert main(["losses", "ranknet"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("RankNet(pair_weights=Uniform(), sigma=1.0, reduction='mean')\n\n")
    assert "Source:" in text
    assert main(["losses", "Sigmoid"]) == 0
    assert "focus(range=(a, b))" in capsys.readouterr().out


def test_names_the_nearest_of_an_unknown_name(capsys):
    assert main(["losses", "LambaRank"]) == 1
    assert "ltr losses: no loss or link 'LambaRank'; did you mean 'LambdaRank'?" in capsys.readouterr().err
