"""YAML whose entries know their lines."""

import pytest

from ltr.errors import ConfigError, DataError
from ltr.io.lines import Lines, plain

TEXT = """# a comment
name: toy
data:
  wiki:
    parts: [train, dev]
losses:
  - ListNet()

  - loss: MSE()
    search: &ranges {lr: {low: 1, high: 2}}
again: *ranges
"""


@pytest.fixture
def written(tmp_path):
    def write(text):
        (tmp_path / "spec.yaml").write_text(text, encoding="utf-8")
        return str(tmp_path / "spec.yaml")

    return write


@pytest.mark.parametrize(
    ("place", "line"),
    [
        ((), 1), (("name",), 2), (("data",), 3), (("data", "wiki"), 4), (("data", "wiki", "parts"), 5),
        (("data", "wiki", "parts", 1), 5), (("losses", 0), 7), (("losses", 1), 9), (("losses", 1, "search"), 10),
        (("losses", 1, "search", "lr", "high"), 10), (("again",), 11),
    ],
)  # fmt: skip
def test_every_entry_knows_its_line(written, place, line):
    path = written(TEXT)
    assert Lines(path, "spec").at(*place) == f"{path}:{line}"


def test_a_place_that_is_not_there_is_told_by_what_is_around_it(written):
    path = written(TEXT)
    lines = Lines(path, "spec")
    assert lines.at("data", "wiki", "init_args", "max_length") == f"{path}:4"
    assert lines.at("seeds") == f"{path}:1"
    assert lines.at("losses", 7) == f"{path}:6"


def test_the_content_is_plain_python(written):
    content = Lines(written(TEXT), "spec").content
    assert content["losses"] == ["ListNet()", {"loss": "MSE()", "search": {"lr": {"low": 1, "high": 2}}}]
    assert content["again"] == {"lr": {"low": 1, "high": 2}}
    assert Lines(written("naïve: ‘yes’"), "spec").content == {"naïve": "‘yes’"}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3e-4", 3e-4), ("1E6", 1e6), ("-2e+3", -2e3), ("1.5e3", 1.5e3), (".5e1", 5.0), ("2.e-1", 0.2), ("1.0e-4", 1e-4),
        ("e4", "e4"), ("3e", "3e"), ("3e-4x", "3e-4x"), ("1e2e3", "1e2e3"), ("'3e-4'", "3e-4"), ("- 3e-4", [3e-4]), ("12", 12),
    ],
)  # fmt: skip
def test_numbers_with_exponents_are_numbers(written, text, value):
    made = plain(text)
    assert made == value
    assert type(made) is type(value)
    assert Lines(written(f"a:\n  {text}\n"), "spec").content == {"a": value}


def test_an_empty_file_has_a_first_line(written):
    path = written("# nothing\n")
    lines = Lines(path, "spec")
    assert lines.content is None
    assert lines.at("name") == f"{path}:1"


def test_keys_may_be_of_any_kind(written):
    path = written("seeds:\n  0: a\n  1: b\n")
    assert Lines(path, "spec").at("seeds", 1) == f"{path}:3"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 1\nb: [1\nc: 2\n", r"spec.yaml:3: this is no YAML: "),
        ("a: 1\n\tb: 2\n", r"spec.yaml:2: this is no YAML: .*'\\t'"),
        ("a: *nowhere\n", r"spec.yaml:1: this is no YAML: found undefined alias"),
        ("a: !!python/object:os.x {}\n", r"spec.yaml:1: this is no YAML: could not determine a constructor"),
        ("a: {b: 1,\n  c: 2,\n  b: 3}\n", r"spec.yaml:3: 'b' stands here a second time \(first in line 1\)"),
        ("- x\n- {k: 1, k: 2}\n", r"spec.yaml:2: 'k' stands here a second time .*; remove or rename one"),
        ("? [a, b]\n: 1\n", r"spec.yaml:1: this is no YAML: found unhashable key"),
        ("a: 2001-13-45\n", r"spec.yaml: this is no YAML: month must be in 1..12.*; put quotes around texts"),
        ("a: &a [*a]\n", r"spec.yaml: it nests too deeply to be a configuration, or refers to itself"),
        ("a: " + "[" * 3000 + "\n", r"spec.yaml: it nests too deeply"),
        (
            "a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n"
            + "".join(f"a{i + 1}: &a{i + 1} [{', '.join([f'*a{i}'] * 10)}]\n" for i in range(9)),
            r"spec.yaml: it has more than 100,000 entries, counting what references",
        ),
        ("a: 1\nb: \x07\n", r"spec.yaml:2: this is no YAML: special characters are not allowed"),
        ("a: 1\nb: 2\n<<: 3\n", r"spec.yaml:3: this is no YAML: "),
    ],
)
def test_what_is_no_yaml_is_told_with_its_line(written, text, said):
    with pytest.raises(ConfigError, match=said):
        Lines(written(text), "spec")


def test_the_same_key_in_two_mappings_is_no_repetition(written):
    assert Lines(written("a: {k: 1}\nb: {k: 2}\n"), "spec").content == {"a": {"k": 1}, "b": {"k": 2}}


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(DataError, match="my spec: no file"):
        Lines(tmp_path / "none.yaml", "my spec")


def test_a_file_in_another_encoding(tmp_path):
    (tmp_path / "spec.yaml").write_bytes("name: naïve\n".encode("latin-1"))
    with pytest.raises(ConfigError, match=r"spec.yaml: this is no YAML: it is not written in UTF-8"):
        Lines(tmp_path / "spec.yaml", "spec")
