"""Rows of files are scored in their order, and what is finished stays."""

import json
import os

import numpy as np
import pandas as pd
import pytest

from ltr.cli.main import main
from ltr.errors import ConfigError, DataError
from ltr.inference import Reranker
from ltr.inference.bulk import Columns, score_rows
from ltr.inference.bulk_rows import read_rows
from ltr.scorers.text.cross_encoder import CrossEncoder
from ltr.settings.texts import ModelSettings
from tests.tiny_model import save_tiny

PAIRS = [(f"query {i // 3}", "sort a list " * (1 + i % 4)) for i in range(10)]


def lengths(pairs):
    """A scorer that costs nothing."""
    return np.array([len(query) + len(text) / 1000 for query, text in pairs], np.float32)


def write(folder, kind, pairs=PAIRS):
    frame = pd.DataFrame(pairs, columns=["query", "text"]).assign(n=[f"n{i}" for i in range(len(pairs))])
    path = folder / f"pairs.{kind}"
    if kind == "parquet":
        frame.to_parquet(path, index=False, row_group_size=4)
    elif kind == "tsv":
        frame.to_csv(path, sep="\t", index=False)
    else:
        path.write_text("".join(json.dumps(record) + "\n" for record in frame.to_dict("records")))
    return path


def read(folder):
    return pd.concat([pd.read_parquet(part) for part in sorted(folder.glob("part-*.parquet"))])


@pytest.mark.parametrize("kind", ["jsonl", "tsv", "parquet"])
@pytest.mark.parametrize("shard", [3, 5, 100])
def test_rows_get_scores_in_their_order(tmp_path, kind, shard):
    path = write(tmp_path, kind)
    assert score_rows(path, tmp_path / "out", lengths, Columns(keep=("n",)), {}, shard) == 10
    assert len(list((tmp_path / "out").glob("part-*.parquet"))) == -(-10 // shard)
    found = read(tmp_path / "out")
    assert found["row"].tolist() == list(range(10))
    assert found["n"].tolist() == [f"n{i}" for i in range(10)]
    assert found["score"].tolist() == lengths(PAIRS).tolist()
    assert found["score"].dtype == np.float32


@pytest.mark.parametrize("values", [[1, "a"], [[1], {"a": 1}], [2**70, 1], ["\ud83d", "b"]], ids=repr)
def test_what_one_column_cannot_hold_is_told_before_anything_is_scored(tmp_path, values):
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps({"query": "q", "text": "t", "n": value}) + "\n" for value in values))

    def never(pairs):
        raise AssertionError("scored")

    sentence = (
        r"pairs.jsonl:1 to .*pairs.jsonl:2: column n cannot be kept.*write them as texts, or leave it out of --keep"
    )
    with pytest.raises(DataError, match=sentence):
        score_rows(path, tmp_path / "out", never, Columns(keep=("n",)), {})


def test_an_interrupted_call_goes_on_with_the_shard_that_was_not_finished(tmp_path):
    path, calls = write(tmp_path, "jsonl"), []

    def failing(pairs):
        calls.append(len(pairs))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return lengths(pairs)

    with pytest.raises(KeyboardInterrupt):
        score_rows(path, tmp_path / "out", failing, Columns(), {"model": "a"}, 3)
    assert calls == [3, 3, 3]
    assert score_rows(path, tmp_path / "out", failing, Columns(), {"model": "a"}, 3) == 10
    assert calls[3:] == [3, 1]
    assert read(tmp_path / "out")["score"].tolist() == lengths(PAIRS).tolist()


def test_memory_holds_one_shard(tmp_path):
    """Rows are read no further ahead than a chunk, however many come."""
    path = write(tmp_path, "jsonl", PAIRS * 50)
    ahead = read_rows(path, ["query", "text"], 7)
    assert [len(next(ahead).places) for _ in range(3)] == [7, 7, 7]


@pytest.mark.skipif(not os.path.exists("/proc/self/maps"), reason="memory is told in /proc")
def test_memory_does_not_hold_the_parquet_that_has_been_read(tmp_path):
    import pyarrow as pa
    from pyarrow.parquet import write_table

    path, texts = tmp_path / "large.parquet", [os.urandom(500).hex() for _ in range(8000)]
    write_table(pa.table({"query": texts, "text": texts}), path, row_group_size=200, compression="none")
    before = pa.total_allocated_bytes()
    rows = read_rows(path, ["query", "text"], 100)
    held, mapped = [], False
    for _ in rows:
        held.append(pa.total_allocated_bytes() - before)
        with open("/proc/self/maps") as maps:
            mapped = mapped or str(path) in maps.read()
    assert len(held) == 80
    assert max(held) < path.stat().st_size / 4
    assert not mapped


def test_other_inputs_are_not_mixed_into_a_folder(tmp_path):
    path = write(tmp_path, "tsv")
    score_rows(path, tmp_path / "out", lengths, Columns(), {"model": "a"})
    with pytest.raises(DataError, match="was begun with another model; give the same inputs"):
        score_rows(path, tmp_path / "out", lengths, Columns(), {"model": "b"})
    with pytest.raises(DataError, match="was begun with another columns"):
        score_rows(path, tmp_path / "out", lengths, Columns(keep=("n",)), {"model": "a"})
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").touch()
    with pytest.raises(DataError, match="full holds other files; give a new folder"):
        score_rows(path, tmp_path / "full", lengths, Columns(), {})
    with pytest.raises(DataError, match=r"pairs.tsv is a file; give a folder"):
        score_rows(path, path, lengths, Columns(), {})


def test_rows_are_known_by_their_content_alone(tmp_path):
    """Neither name nor size nor time tells rows apart."""
    path, out = write(tmp_path, "tsv"), tmp_path / "out"
    score_rows(path, out, lengths, Columns(), {}, 3)
    facts = path.stat()
    path.write_text(path.read_text().replace("query 0", "fully 0"))
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (facts.st_size, facts.st_mtime_ns)
    with pytest.raises(DataError, match="was begun with another source; give the same inputs"):
        score_rows(path, out, lengths, Columns(), {}, 3)
    path.unlink()
    (tmp_path / "moved").mkdir()
    again = write(tmp_path / "moved", "tsv").rename(tmp_path / "other.tsv")
    assert score_rows(again, out, None, Columns(), {}, 3) == 10  # nothing is scored anew


@pytest.mark.parametrize("content", ["{", "3", "[1]"])
def test_a_folder_that_does_not_tell_what_it_was_made_of_is_refused(tmp_path, content):
    path, out = write(tmp_path, "tsv"), tmp_path / "out"
    score_rows(path, out, lengths, Columns(), {})
    (out / "score.json").write_text(content)
    with pytest.raises(
        DataError, match=r"score.json, which tells what the files beside it were made of, cannot be read"
    ):
        score_rows(path, out, lengths, Columns(), {})


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", '{"query": "a", "text": "b"}\n{"query": "a"}\n', r"a.jsonl:2 has no column 'text'"),
        ("a.jsonl", '{"query": "a", "text": "b"}\n{"query":\n', r"a.jsonl:2: a line must be JSON"),
        ("a.jsonl", "3\n", r"a.jsonl:1: a line must be an object, got '3'"),
        ("a.jsonl", '{"query": " ", "text": "b"}\n', r"a.jsonl:1: needs a query that is not empty and a text, got ' '"),
        ("a.jsonl", '{"query": "a", "text": null}\n', r"a.jsonl:1: needs a query .* got 'a' and None"),
        ("a.tsv", "query\ttext\na\tb\na\n", r"a.tsv:3: needs 2 fields parted by tabs, got 1"),
        ("a.tsv", "query\ttext\tquery\na\tb\tc\n", r"a.tsv: two columns have the name 'query'; rename or remove one"),
        (
            "a.jsonl",
            '{"query": "a", "text": "b", "text": "c"}\n',
            r"a.jsonl:1: a line must be JSON .*'text' stands there twice",
        ),
        ("a.jsonl", "[" * 100_000, r"a.jsonl:1: a line must be JSON .it nests too deeply"),
        ("a.tsv", "query\tbody\na\tb\n", r"a.tsv has no column 'text'"),
        ("a.tsv", b"query\ttext\na\t\xff\n", r"a.tsv:2: a line must be UTF-8 text"),
    ],
)
def test_rows_that_cannot_be_scored_are_told(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError, match=message):
        score_rows(path, tmp_path / "out", lengths, Columns(), {})


@pytest.mark.parametrize(
    ("name", "content"), [("a.tsv", "query\ttext\na\tb\n"), ("a.jsonl", '{"query": "a", "text": "b"}')]
)
def test_a_mark_of_byte_order_is_no_part_of_the_first_line(tmp_path, name, content):
    (tmp_path / name).write_text(content, encoding="utf-8-sig")
    (rows,) = read_rows(tmp_path / name, ["query", "text"], 3)
    assert rows.columns == {"query": ["a"], "text": ["b"]}


def test_what_cannot_be_parquet_is_told(tmp_path):
    (tmp_path / "a.parquet").write_text("query")
    with pytest.raises(DataError, match=r"a.parquet: not a Parquet file that can be read"):
        score_rows(tmp_path / "a.parquet", tmp_path / "out", lengths, Columns(), {})


def test_columns_and_endings_that_cannot_be_are_told(tmp_path):
    with pytest.raises(ConfigError, match="a column must be named once, got a, a"):
        Columns("a", "a")
    with pytest.raises(ConfigError, match="score is a column that ltr writes; rename that of the input"):
        Columns(keep=("score",))
    with pytest.raises(ConfigError, match=r"a.csv must end in .parquet, .jsonl, .tsv, which says what it is"):
        read_rows(tmp_path / "a.csv", ["query"], 3)


def test_the_command_gives_the_scores_of_a_reranker(tmp_path, capsys):
    CrossEncoder(str(save_tiny(tmp_path / "backbone", head=True))).save(tmp_path / "best", ModelSettings(60, 20))
    path, out = write(tmp_path, "jsonl"), tmp_path / "out"
    given = [
        "--model",
        str(tmp_path / "best"),
        "--output",
        str(out),
        "--keep",
        "n",
        "--precision",
        "32",
        "--shard",
        "4",
    ]
    assert main(["score", str(path), *given]) == 0
    assert f"{out}: 10 scores in 3 files\n" in capsys.readouterr().out
    wanted = Reranker.load(tmp_path / "best", "cpu", "32").score(PAIRS)
    np.testing.assert_allclose(read(out)["score"], wanted, atol=1e-6)
    assert main(["score", str(path), *given, "--query", "q"]) == 1
    assert "was begun with another columns" in capsys.readouterr().err
