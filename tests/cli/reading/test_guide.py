"""``ltr guide`` lists guides and prints one, as Markdown into a pipe, laid out on a terminal."""

from __future__ import annotations

import os

import pytest

from ltr.cli.main import main
from ltr.cli.reading import guide
from ltr.cli.reading.markdown import laid_out
from tests.cli.test_main import imported_by

PAGE = """# A page

Some `*code` and **bold** *words* that are long enough to be wrapped, with a [link](text.md), a [site](https://a.org) and a [file](../x.csv).

![a picture](x.png)

- one
- two, which is
  continued

```text title="a.trec"
a line of code that is longer than the terminal is wide, and stays whole

its last line
```

| name | what |
|---|---|
| `a` | short |
| b | a cell that is far too long for one line of this narrow terminal \\| and so on |
"""


def test_lists_all_guides(capsys):
    assert main(["guide"]) == 0
    first, _, *lines = capsys.readouterr().out.splitlines()
    assert first == "ltr guide NAME prints one of"
    assert [line.split()[0] for line in lines] == list(guide.summaries())
    assert lines[0].startswith("  concepts  ")


def test_prints_the_file_into_a_pipe(capsys):
    assert main(["guide", "Training.md"]) == 0
    assert capsys.readouterr().out == (guide.FOLDER / "training.md").read_text()


def test_names_the_nearest_of_an_unknown_name(capsys):
    assert main(["guide", "trainig"]) == 1
    assert capsys.readouterr().err == (
        "ltr guide: no guide 'trainig'; did you mean 'training'?; ltr guide lists them\n"
    )


def test_imports_nothing_heavy():
    loaded, out, _ = imported_by("guide", "training")
    assert loaded == set()
    assert out.startswith("# Training")


@pytest.mark.parametrize("colours", [True, False])
def test_a_terminal_gets_it_laid_out_and_paged(colours, monkeypatch):
    paged: list[str] = []
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setattr("pydoc.pager", paged.append)
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.delenv("LESS", raising=False)
    monkeypatch.delenv("NO_COLOR", raising=False) if colours else monkeypatch.setenv("NO_COLOR", "1")
    assert main(["guide", "concepts"]) == 0
    assert "\n│ query  3 │" not in paged[0]
    assert ("\033[" in paged[0]) == colours
    assert os.environ["LESS"] == "FRX"


def test_layout_by_hand():
    assert laid_out(PAGE, 40, colours=False).splitlines() == [
        "A page",
        "",
        "Some `*code` and bold words that",  # marks count, so that lines are never too long
        "are long enough to be wrapped, with a",
        "link (`ltr guide text`), a site",
        "(https://a.org) and a file.",
        "",
        "- one",
        "- two, which is continued",
        "",
        "    a.trec:",
        "    a line of code that is longer than the terminal is wide, and stays whole",
        "",
        "    its last line",
        "",
        "name  what",
        "----  ----------------------------------",
        "a     short",
        "b     a cell that is far too long for",
        "      one line of this narrow terminal |",
        "      and so on",
    ]


def test_colours_mark_headings_code_and_heads_of_tables():
    text = laid_out(PAGE, 80)
    assert "\033[1;4mA page\033[0m" in text
    assert "\033[36m*code\033[0m" in text
    assert "\033[1mbold\033[0m" in text
    assert "\033[3mwords\033[0m" in text
    assert "\033[1mname" in text


@pytest.mark.parametrize("name", list(guide.summaries()))
def test_no_line_of_a_guide_is_wider_than_the_terminal_but_code(name):
    lines = laid_out(guide.page(name), 80, colours=False).splitlines()
    assert not [line for line in lines if len(line) > 80 and not line.startswith("    ") and " " in line.strip()]
