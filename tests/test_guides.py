"""What README and guides show works: Python and quick commands run, every other command is parsed, links lead somewhere."""

from __future__ import annotations

import ast
import configparser
import doctest
import functools
import re
import sys
from pathlib import Path

import pytest
import yaml

import ltr.cli.command
from ltr.cli.main import COMMANDS, main
from ltr.cli.reading.guide import ENTRY, contents, page, summaries
from tests.guides import GUIDES, PAGES, ROOT, Block, blocks, commands, name_of, printed
from tests.tiny_model import tiny_model  # noqa: F401

#: commands that cost next to nothing; where a page shows what they print, they print it
QUICK = {"evaluate", "compare", "losses", "guide", "data"}
#: what a fenced block may be; a language without a test of its own would rot
LANGUAGES = {"sh", "console", "python", "yaml", "json", "text"}

pytestmark = pytest.mark.filterwarnings("ignore:.*smaller than the logging interval.*")


class Parsed(Exception):
    """A command's arguments were fine, and it would run now."""


@pytest.fixture(scope="module")
def place(tmp_path_factory, tiny_model):  # noqa: F811
    """A folder like that of a reader: recipes, a trained model, and a training that can be resumed."""
    from ltr.scorers import CrossEncoder
    from ltr.settings.texts import ModelSettings

    folder = tmp_path_factory.mktemp("reader")
    (folder / "configs").symlink_to(ROOT / "configs")
    (folder / "runs" / "lambdarank").mkdir(parents=True)
    recipe = (ROOT / "configs" / "recipes" / "folder.yaml").read_text()
    (folder / "runs" / "lambdarank" / "config.yaml").write_text(recipe)
    (folder / "runs" / "lambdarank" / "last.ckpt").touch()
    scorer = CrossEncoder(str(tiny_model))
    scorer.save(folder / "runs" / "demo" / "best", ModelSettings(60, 20))
    return folder


@pytest.fixture
def reader(place, monkeypatch):
    monkeypatch.chdir(place)
    monkeypatch.syspath_prepend(str(place))
    for path in PAGES:
        write_files(path, place)
    yield place
    sys.modules.pop("mine", None)


def write_files(path: Path, place: Path) -> None:
    for block in blocks(path):
        if block.title:
            file = place / block.title
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(block.text)


with_blocks = pytest.mark.parametrize("path", PAGES, ids=name_of)


@pytest.mark.parametrize("path", [p for p in PAGES if any(b.language == "python" for b in blocks(p))], ids=name_of)
def test_python_runs(path, reader, capsys):
    """The blocks of a page run one after the other, as in one session."""
    if path.name == "features.md":  # its Python opens what its command has trained
        train = next(c for b in blocks(path) for c in commands(b) if "--run.folder=runs/log" in c)
        assert main([*train[1:], "--run.overwrite=true", "--trainer.max_epochs=2"]) == 0
    names: dict[str, object] = {}
    for block in blocks(path):
        if block.language == "python" and not block.title:
            code = "\n" * (block.line - 1) + block.text  # errors name the line of the page
            exec(compile(code, str(path), "exec"), names)


@with_blocks
def test_commands_are_parsed(path, reader, monkeypatch):
    """Every command line of ltr goes through the parser of its command, and stops where the work would begin."""
    stop_before_work(monkeypatch)
    for words in (words for block in blocks(path) for words in commands(block)):
        if words[0] == "ltr":
            parse(words[1:])
        elif words[0] == "make":
            assert re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text(), re.MULTILINE), words
        elif words[0] == "python":
            assert (ROOT / words[1]).exists(), words
        else:
            assert words[0] == "pip", f"{name_of(path)}: no test knows {words}"


@pytest.mark.parametrize("path", sorted((ROOT / "configs" / "benchmarks").glob("*.yaml")), ids=lambda p: p.stem)
def test_commands_on_top_of_benchmarks_are_parsed(path, reader, monkeypatch):
    """What prepares a benchmark's files, and what runs it."""
    stop_before_work(monkeypatch)
    head = [line[4:] for line in path.read_text().splitlines() if line.startswith("#   ")]
    typed = [words for words in commands(Block("sh", None, "\n".join(head), 1)) if words[0] in ("ltr", "python")]
    assert ["ltr", "benchmark", f"configs/benchmarks/{path.name}"] in [words[:3] for words in typed]
    for words in typed:
        if words[0] == "ltr":
            parse(words[1:])
        else:
            assert (ROOT / words[1]).exists(), words


def stop_before_work(monkeypatch) -> None:
    from ltr.cli.training.fit_parser import FitCLI

    parser_of = ltr.cli.command.parser_of

    def stopping(*args, **kwargs):
        parser = parser_of(*args, **kwargs)
        parse_known_args = parser.parse_known_args

        def parsed(argv):
            _, unknown = parse_known_args(argv)
            assert not unknown, unknown
            raise Parsed

        parser.parse_known_args = parsed
        return parser

    def built(self):
        raise Parsed

    monkeypatch.setattr(ltr.cli.command, "parser_of", stopping)
    monkeypatch.setattr(FitCLI, "instantiate_classes", built)
    monkeypatch.setattr(
        "ltr.cli.training.fit.check", lambda argv: None
    )  # files that a reader has, and the tests have not
    monkeypatch.setattr("ltr.training.run.records.refuse_replacing", lambda folder: None)


def parse(argv: list[str]) -> None:
    assert argv[0] in COMMANDS, argv
    for word in argv:
        if word.startswith("configs/"):
            assert (ROOT / word).exists(), argv
    if {"--help", "--print_config"} & set(argv) or any(".help=" in word for word in argv):
        try:
            code = main(argv)
        except SystemExit as stop:
            code = stop.code
        assert code == 0, argv
        return
    try:
        main(argv)
    except Parsed:
        return
    except SystemExit as stop:
        pytest.fail(f"ltr {' '.join(argv)}: refused ({stop.code})")
    pytest.fail(f"ltr {' '.join(argv)}: refused")


@with_blocks
def test_overrides_of_benchmarks_are_settings(path, reader, monkeypatch, capsys):
    monkeypatch.setenv("LTR_DATA", "collections")
    for words in (words for block in blocks(path) for words in commands(block)):
        if words[:2] == ["ltr", "benchmark"] and "NAME" not in words[2]:
            assert main([*words[1:], "--print-config"]) == 0, words


@pytest.mark.parametrize(
    ("path", "words", "output"),
    [
        (p, w, out)
        for p in PAGES
        for b in blocks(p)
        if b.language == "console"
        for w, out in printed(b)
        if w[1] in QUICK
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_quick_commands_print_what_is_shown(path, words, output, reader, capsys):
    assert main(words[1:]) == 0
    found = capsys.readouterr().out
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    assert doctest.OutputChecker().check_output(output, found, flags), found


@with_blocks
def test_configurations_are_yaml(path):
    for block in blocks(path):
        if block.language == "yaml":
            assert isinstance(yaml.safe_load(block.text), dict)


@pytest.mark.parametrize("path", [ROOT / "README.md", *sorted(GUIDES.glob("*.md"))], ids=name_of)
def test_blocks_have_a_language_that_is_tested(path):
    assert {block.language for block in blocks(path)} <= LANGUAGES


@with_blocks
def test_links_lead_somewhere(path):
    for target in re.findall(r"\]\((?!http)([^)#]+)", path.read_text()):
        assert (path.parent / target).exists(), target


def test_pip_names_extras_that_exist():
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    named = {extra for path in PAGES for extra in re.findall(r"'(?:ltr|\.)\[(\w+)\]'", path.read_text())}
    assert named
    assert named <= set(setup["options.extras_require"])


def test_the_readme_is_read_in_five_minutes():
    assert len((ROOT / "README.md").read_bytes()) <= 8192


def test_every_guide_is_listed_and_printed():
    files = {path.stem for path in GUIDES.glob("*.md")} - {"README"}
    assert set(summaries()) == files
    text = (GUIDES / "README.md").read_text()
    assert all(name == file for name, file, _ in ENTRY.findall(text))
    assert all(name in contents() for name in files)
    for name in files:
        assert page(name) == (GUIDES / f"{name}.md").read_text()


def test_the_readme_leads_to_every_guide():
    text = (ROOT / "README.md").read_text()
    assert all(f"(ltr/guides/{name}.md)" in text for name in summaries())


def texts_of(path: Path) -> list[str]:
    """Texts in a file of Python, each on one line, with … for what is put in when it runs."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.JoinedStr):
            found.append("".join(str(p.value) if isinstance(p, ast.Constant) else "…" for p in node.values))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.append(node.value)
    return [" ".join(text.split()) for text in found]


@functools.cache
def said() -> str:
    """All texts in the code of ltr."""
    return "\n".join(text for path in (ROOT / "ltr").rglob("*.py") for text in texts_of(path))


#: the beginning of what argparse says of an option that it does not know
FOREIGN = ("unrecognized arguments",)


def test_messages_of_the_troubleshooting_guide_exist():
    messages = re.findall(r"^\| `(.+?)` \|", page("troubleshooting"), re.MULTILINE)
    assert len(messages) > 50
    for message in messages:
        pattern = ".*".join(re.escape(part.strip(" ")) for part in message.split("…"))
        assert message.startswith(FOREIGN) or re.search(pattern, said()), f"no error of ltr says {message!r}"


def test_pointers_in_the_code_name_guides():
    pointed = set(re.findall(r"see: ltr guide (\w+)", said()))
    assert pointed
    assert pointed <= set(summaries())


def test_guides_are_package_data():
    """What setuptools takes into a wheel: by its own reading of setup.cfg."""
    from setuptools import Distribution

    distribution = Distribution()
    distribution.parse_config_files([str(ROOT / "setup.cfg")])
    patterns = distribution.package_data["ltr"]
    assert {path.name for pattern in patterns for path in (ROOT / "ltr").glob(pattern)} >= {
        path.name for path in GUIDES.glob("*.md")
    }
