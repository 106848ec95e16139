"""Lines taken apart many at a time are those that the reader of single lines sees, wherever blocks end."""

import gzip
import tracemalloc

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ltr.errors import DataError
from ltr.io import trec
from ltr.io.parsing import run_lines
from ltr.io.parsing.run_lines import read_columns
from ltr.io.sources import Source
from ltr.io.trec import Run, read_run, write_run

LETTERS = st.text(st.sampled_from("ab1.é\u2003\x85\x0b\x1c\x00\x7f"), min_size=1, max_size=3)
WORDS = st.sampled_from(["q", "Q0", "d1", "d2", "a-long-document-id", "1", "2.5", "-1e3", "t"]) | LETTERS
GAPS = st.sampled_from([" ", " ", " ", "\t", "  ", " \t "])
ENDS = st.sampled_from(["\n", "\n", "\n", "\r\n", " \n", "\n\n", "\r", ""])


@st.composite
def texts(draw):
    """Lines most of which have six fields, a query, a document and a score at their places."""
    lines = []
    for i in range(draw(st.integers(1, 8))):
        fields = [draw(st.sampled_from("pq")), "Q0", f"d{i}", "1", draw(st.sampled_from(["1.5", "-2", "1e3"])), "t"]
        for _ in range(draw(st.sampled_from([0, 0, 0, 1, 2]))):
            fields[draw(st.integers(0, 5))] = draw(WORDS)
        gap = draw(GAPS)
        lines.append(draw(st.sampled_from(["", "", "", " "])) + gap.join(fields) + draw(ENDS))
    return "".join(lines)


@settings(max_examples=400, deadline=None)
@given(texts(), st.integers(1, 40))
@example("q Q0 a 1 1 t\r\nq Q0 b 2 .5 t\r\n", 7)
@example("q Q0 a\r1 1 t\r\nq Q0 b 2 .5 t", 100)
@example("q Q0 é 1 1 t\nq Q0 b\u2003c 1 1 t\n", 9)
def test_what_is_taken_apart_is_what_single_lines_say(tmp_path_factory, text, block):
    path = tmp_path_factory.mktemp("run") / "run.trec"
    path.write_bytes(text.encode())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_lines, "BLOCK", block)
        try:
            found = trec._grouped(read_columns(path), "a")
        except (ValueError, DataError):
            return
    slow = trec._read_run_by_line(Source(path), "a")
    assert found.query_ids == slow.query_ids
    assert found.to_dict() == slow.to_dict()


@pytest.mark.parametrize(
    "text",
    [
        "q Q0 d1 1 2.5 t\n",
        "q\tQ0\td1\t1\t2.5\tt\n",
        "q Q0 d1 1 2.5 t",
        "q Q0 d1 1 2.5 t\r\n",
        "  q  Q0 d1 \t1 2.5 t  \n\n\n",
        "q Q0 d1 1 2.5 naïve\n",
    ],
)
def test_usual_forms_need_no_reader_of_single_lines(tmp_path, monkeypatch, text):
    monkeypatch.setattr(trec, "_read_run_by_line", None)
    path = tmp_path / "r.trec"
    path.write_bytes(text.encode())
    assert read_run(path).to_dict() == {"q": {"d1": 2.5}}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("q Q0 a 1 1 t\nq Q0 b 1 t\n", "lines without six fields"),
        ("q Q0 a 1 1 t u\nq Q0 b 1 t\n", "lines without six fields"),
        ("q  a 1 1 t\n", "lines without six fields"),
        (" Q0 a 1 1 t\n", "lines without six fields"),
        ("q Q0 a 1 high t\n", "could not convert"),
        ("q Q0 a\x0bb 1 1 t\n", "control characters"),
        ("q Q0 a 1 1 t\rq Q0 b 1 1 t\n", "a return inside a line"),
        ("q Q0 a\u2003b 1 1 t\n", "white space beyond ASCII"),
        ("q" * 3 * run_lines.LONGEST + " Q0 a 1 1 t\n", "a line without an end"),
    ],
)
def test_what_is_left_to_the_reader_of_single_lines(tmp_path, text, message):
    path = tmp_path / "r.trec"
    path.write_bytes(text.encode())
    with pytest.raises(ValueError, match=message):
        read_columns(path)


@pytest.mark.parametrize("name", ["r.trec", "r.trec.gz"])
def test_blocks_of_a_compressed_file_and_stretches_across_blocks(tmp_path, monkeypatch, name):
    monkeypatch.setattr(run_lines, "BLOCK", 64)
    path = tmp_path / name
    run = Run.from_dict({f"q{i}": {f"d{j}": -j / 7 for j in range(50)} for i in range(3)})
    write_run(path, run)
    columns = read_columns(path)
    assert len(columns.queries) > 3
    assert columns.sizes.sum() == 150
    assert read_run(path).query_ids == ["q0", "q1", "q2"]
    np.testing.assert_array_equal(read_run(path).doc_bytes, run.doc_bytes)


def test_an_empty_file_has_no_columns(tmp_path):
    for name, data in {"a.trec": b"", "b.trec": b" \n\r\n \n", "c.trec.gz": gzip.compress(b"")}.items():
        (tmp_path / name).write_bytes(data)
        assert len(read_columns(tmp_path / name).scores) == 0


def test_memory_is_that_of_the_columns_and_of_some_blocks(tmp_path, monkeypatch):
    path = tmp_path / "r.trec"
    n = 60_000
    path.write_text("".join(f"{i // 1000} Q0 {7_000_000 + i} {i % 1000} {20 - i % 1000 / 64} t\n" for i in range(n)))
    monkeypatch.setattr(run_lines, "BLOCK", 2**16)
    monkeypatch.setattr(run_lines, "cores", lambda: 1)
    tracemalloc.start()
    columns = read_columns(path)
    kept, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # eight bytes of id and eight of score a line, held twice for a moment, and three blocks with 16 bytes a byte
    assert kept < 17 * n + 2**18
    assert peak < 34 * n + 3 * 16 * 2**16
    assert len(columns.docs) == n


@pytest.mark.parametrize("name", ["r.trec", "r.trec.gz"])
@pytest.mark.parametrize("slow", [False, True])
def test_the_mark_before_utf8_text_is_no_part_of_the_first_query(tmp_path, monkeypatch, name, slow):
    path, text = tmp_path / name, "\ufeffq Q0 a 1 2 t\nq Q0 b 2 1 t\n".encode()
    path.write_bytes(gzip.compress(text) if name.endswith("gz") else text)
    if slow:
        monkeypatch.setattr(trec, "read_columns", lambda path: read_columns(tmp_path / "none"))
        (tmp_path / "none").write_text("no run")
    else:
        monkeypatch.setattr(trec, "_read_run_by_line", None)
    assert read_run(path).to_dict() == {"q": {"a": 2.0, "b": 1.0}}


def test_ids_that_grow_in_later_blocks_stay_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(run_lines, "BLOCK", 64)
    docs = {"a" * (1 + 3 * i): float(-i) for i in range(12)}  # the file's size leaves room for all lines at once
    path = tmp_path / "r.trec"
    path.write_text("".join(f"q Q0 {doc} 1 {score} {'t' * 40}\n" for doc, score in docs.items()))
    monkeypatch.setattr(trec, "_read_run_by_line", None)
    assert read_run(path).to_dict() == {"q": docs}


def test_no_line_makes_all_others_take_the_room_of_its_id(tmp_path):
    path = tmp_path / "r.trec"
    for fields in ("{} Q0 a", "q Q0 {}"):
        path.write_text("q Q0 b 1 2 t\n" + fields.format("x" * 1024) + " 1 1 t\n")
        assert len(read_run(path).scores) == 2
        path.write_text("q Q0 b 1 2 t\n" + fields.format("é" * 513) + " 1 1 t\n")
        what = "query" if fields.startswith("{") else "document"
        with pytest.raises(ValueError, match="an id that every line would need the room of"):
            read_columns(path)
        with pytest.raises(
            DataError, match=rf"r\.trec:2: {what} id 'é+'\.\.\. must have at most 1,024 bytes, has 1,026$"
        ):
            read_run(path)
