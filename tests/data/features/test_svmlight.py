"""The SVMlight reader: Python's floats exactly, ids, one parse per file, and errors by file, line and value."""

import bz2
import gzip
import logging
import lzma
import math
import os
import subprocess
import sys
import threading
import tracemalloc

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ltr.data.features import svmlight
from ltr.data.features.svmlight import LARGEST, read_svmlight
from ltr.errors import ConfigError, DataError

LETOR = """\
2 qid:10 1:0.5 2:-3 4:1e-3 #docid = GX-1 inc = 1 prob = 0.08
0 qid:10 1:1 #docid = GX-2 inc = 0.5

# a line of its own
1\tqid:9  3:7.25   #docid = GX-1\r
"""


@pytest.fixture
def written(tmp_path):
    def write(text, name="train.txt"):
        path = tmp_path / name
        path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
        return path

    return write


@pytest.mark.parametrize("name", ["train.txt", "train.txt.gz"])
def test_a_file_in_letor_form(written, name):
    table = read_svmlight(written(LETOR, name))
    assert table.features.tolist() == [
        [0.5, -3.0, 0.0, np.float32(1e-3)], [1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 7.25, 0.0],
    ]  # fmt: skip
    assert table.features.dtype == np.float32
    assert table.labels.tolist() == [2.0, 0.0, 1.0]
    assert table.query_ids == ["10", "9"]
    assert table.offsets.tolist() == [0, 2, 3]
    assert table.lines.tolist() == [1, 2, 5]
    assert table.doc_ids(np.arange(3)) == ["GX-1", "GX-2", "GX-1"]


@pytest.mark.parametrize("size", [7, 64])
def test_blocks_of_any_size_give_the_same(written, monkeypatch, size):
    path = written(LETOR)
    whole = read_svmlight(path)
    monkeypatch.setattr(svmlight, "BLOCK", size)
    monkeypatch.setattr(svmlight, "FORMAT", -size)  # another key: parsed anew
    cut = read_svmlight(path)
    for name in ("features", "labels", "offsets", "lines", "named"):
        assert np.array_equal(getattr(cut, name), getattr(whole, name))
    assert (cut.query_ids, cut.digest) == (whole.query_ids, whole.digest)


def test_a_file_without_a_last_line_end(written):
    assert read_svmlight(written("1 qid:a 1:2\n0 qid:a 2:3")).features.tolist() == [[2.0, 0.0], [0.0, 3.0]]


@pytest.mark.parametrize(
    ("comments", "ids"),
    [
        (("# V7", "#V8 more", "# V7"), ["V7", "V8", "V7"]),
        (("", "", ""), ["a-cdaf-1", "a-65f4-2", "b-454f-3"]),
        (("# V7", "", "# V9"), ["a-cdaf-1", "a-65f4-2", "b-454f-3"]),  # one has none
        (("# same", "# same", "# V9"), ["a-cdaf-1", "a-65f4-2", "b-454f-3"]),  # no ids
    ],
)
def test_ids_come_from_comments_where_they_name_every_document(written, comments, ids):
    lines = (f"0 qid:{q} 1:1 {c}\n" for q, c in zip("aab", comments, strict=True))
    assert read_svmlight(written("".join(lines))).doc_ids(np.arange(3)) == ids


def test_declared_features_are_all_there(written):
    assert read_svmlight(written("1 qid:a 2:5\n"), n_features=4).features.tolist() == [[0.0, 5.0, 0.0, 0.0]]


# ------------------------------------------------------------------ numbers


def read_numbers(texts):
    from ltr.data.features.svmlight_kernel import number

    found = []
    for text in texts:
        bytes_ = np.frombuffer(text.encode() + b" ", np.uint8)
        found.append(number(bytes_, 0, len(bytes_)))
    return found


decimal = st.from_regex(r"[+-]?([0-9]{1,25}\.?[0-9]{0,25}|\.[0-9]{1,25})([eE][+-]?[0-9]{1,3})?", fullmatch=True)


@settings(max_examples=400, deadline=None)
@given(st.one_of(decimal, st.floats(allow_nan=False, allow_infinity=False).map(repr), st.integers().map(str)))
@example("9007199254740993")
@example("9007199254740992e22")
@example("1e23")
@example("-0.0")
@example("0.000000000000000000000000001")
@example("123456789012345678901234567890")
@example("1e-400")
def test_numbers_are_pythons_floats_to_the_last_bit(text):
    value, end, state = read_numbers([text])[0]
    assert state in (0, 1)
    if state == 0:  # 1 hands the text to Python's float
        assert end == len(text)
        assert (value, math.copysign(1, value)) == (float(text), math.copysign(1, float(text)))


def test_common_numbers_need_no_help():
    assert [state for *_, state in read_numbers(["0.007477", "12", "-3.5e-7", "1.79e12", "0", "4503599627370497.5"])] == [
        *[0] * 5, 1,
    ]  # fmt: skip


@pytest.mark.parametrize(
    "text", ["", ".", "-", "e5", "1e", "1e+", "nan", "inf", "0x1", "1_0", "1,5", "--1", "1.2.3", "1-"]
)
def test_what_is_no_number(text):
    assert read_numbers([text])[0][2] == 2


def test_long_mantissas_reach_python(written):
    table = read_svmlight(written("0.12345678901234567 qid:a 1:123456789.123456789123 2:1e-30\n"))
    assert table.labels.tolist() == [0.12345678901234567]
    assert table.features.tolist() == [[np.float32(123456789.123456789123), np.float32(1e-30)]]


def test_values_beyond_float32_are_clipped_and_counted_every_time(written, caplog):
    path = written("1 qid:a 1:1.79769313486232E+308 2:-1e39 3:4 4:-1e999\n")
    for _ in range(2):
        caplog.clear()
        with caplog.at_level(logging.WARNING, logger="ltr"):
            table = read_svmlight(path)
        assert table.features.tolist() == [[LARGEST, -LARGEST, 4.0, -LARGEST]]
        assert "3 values beyond float32 are kept as 3.40282e+38" in caplog.text


# ------------------------------------------------------------------ the cache


def test_a_file_is_parsed_once_until_it_changes(written, monkeypatch):
    path = written(LETOR)
    first = read_svmlight(path)
    with monkeypatch.context() as patch:
        patch.setattr(svmlight._Reader, "write", None)
        again = read_svmlight(path)
    assert again.features.tolist() == first.features.tolist()
    path.write_text("1 qid:z 1:9\n")
    changed = read_svmlight(path)
    assert changed.query_ids == ["z"]
    assert changed.digest != first.digest
    path.write_text("1 qid:z 1:8\n")  # of the same size
    os.utime(path, ns=(0, 1))
    assert read_svmlight(path).features.tolist() == [[8.0]]


@pytest.mark.parametrize("name", ["facts.json", "labels.npy", "features.npy", "query_ids.npy"])
def test_what_is_damaged_in_the_cache_is_parsed_anew(written, cache, caplog, name):
    path = written(f"{LETOR}# {name}\n")  # content of its own
    first = read_svmlight(path)
    folder = max((cache / "svmlight").iterdir(), key=lambda place: place.stat().st_mtime_ns)
    for damage in ((folder / name).unlink, lambda: (folder / name).write_bytes(b"")):
        damage()
        caplog.clear()
        again = read_svmlight(path)
        assert (again.features.tolist(), again.labels.tolist()) == (first.features.tolist(), first.labels.tolist())
        assert "is damaged" in caplog.text


def test_the_content_counts_and_not_the_time(written, tmp_path):
    path = written("1 qid:a 1:7\n")
    facts = path.stat()
    assert read_svmlight(path).labels.tolist() == [1.0]
    path.write_text("5 qid:a 1:7\n")
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    assert read_svmlight(path).labels.tolist() == [5.0]


def test_a_file_that_changes_while_it_is_read_is_not_kept(written, monkeypatch, cache):
    path = written("1 qid:a 1:70\n")
    parse = svmlight._Reader._parse

    def changing(self, block):
        parse(self, block)
        path.write_text("1 qid:a 1:70\n2 qid:a 1:71\n")

    with monkeypatch.context() as patch:
        patch.setattr(svmlight._Reader, "_parse", changing)
        with pytest.raises(DataError, match=r"train.txt: the file changed while it was read; read it again when"):
            read_svmlight(path)
    assert read_svmlight(path).n_docs == 2


def test_a_file_that_is_refused_leaves_nothing_in_the_cache(written, cache):
    path = written("1 qid:a 1:x\n")
    before = {p.name for p in (cache / "svmlight").iterdir()} if (cache / "svmlight").is_dir() else set()
    for _ in range(2):
        with pytest.raises(DataError):
            read_svmlight(path)
    assert {p.name for p in (cache / "svmlight").iterdir()} == before


def test_reading_from_the_cache_needs_no_compiler(written):
    path = written(LETOR)
    read_svmlight(path)
    code = f"import sys, ltr.data.features.svmlight as s; s.read_svmlight({str(path)!r}); assert 'numba' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, env=dict(os.environ))


# ------------------------------------------------------------------ bad input


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("x qid:a 1:1", r"the label must be a finite number within float32, got 'x'"),
        ("nan qid:a 1:1", r"the label must be a finite number within float32, got 'nan'"),
        ("1e999 qid:a 1:1", r"the label must be a finite number within float32, got '1e999'"),
        ("1 1:0.5 2:3", r"a line reads LABEL qid:LIST .*; no qid: stands behind the label, got '1 1:0.5 2:3'"),
        ("1 qid: 1:0.5", r".*; no qid: stands behind the label, got '1 qid: 1:0.5'"),
        ("1", r".*; no qid: stands behind the label, got '1'"),
        ("1 qid:a 1:1 hello", r"a feature is written INDEX:VALUE with a whole index from 1, got 'hello'"),
        ("1 qid:a 1.5:1", r"a feature is written INDEX:VALUE with a whole index from 1, got '1.5:1'"),
        ("1 qid:a 0:3", r"feature indices begin at 1, got '0:3'; add 1 to all of them"),
        ("1 qid:a -2:3", r"feature indices begin at 1, got '-2:3'"),
        ("1 qid:a 3:1 2:1", r"feature indices must rise within a line, got '2:1' after an index as large or larger"),
        ("1 qid:a 3:1 3:1", r"feature indices must rise within a line, got '3:1'"),
        ("1 qid:a 1:1 6:1", r"feature indices end at n_features, 5, got '6:1'; raise n_features or mend the line"),
        ("1 qid:a 99999999999999999999:1", r"feature indices end at n_features, 5, got '99999999999999999999:1'"),
        ("1 qid:a 2:inf", r"a feature's value must be a finite number, got '2:inf'"),
        ("1 qid:a 2: 3:1", r"a feature's value must be a finite number, got '2:'"),
        ("1 qid:a 2:1.5x#c", r"a feature's value must be a finite number, got '2:1.5x'"),
    ],
)
def test_a_bad_line_is_named(written, monkeypatch, line, sentence):
    path = written(f"0 qid:a 1:2\n\n{line}\n0 qid:b 1:2\n")
    with pytest.raises(DataError, match=rf"train\.txt:3: {sentence}"):
        read_svmlight(path, n_features=5)
    monkeypatch.setattr(svmlight, "BLOCK", 12)  # the line stands in a block of its own
    with pytest.raises(DataError, match=rf"train\.txt:3: {sentence}"):
        read_svmlight(path, n_features=5)


def test_an_index_that_would_make_a_giant_matrix(written):
    with pytest.raises(DataError, match=r"txt:1: feature indices end at n_features, 1000000, got '1000001:1'"):
        read_svmlight(written("1 qid:a 1000001:1\n"))


def test_an_index_that_would_leave_the_matrix_empty_is_refused_before_it_takes_the_memory(written, monkeypatch):
    lines = [f"0 qid:{i // 10} 1:1 2:{i}\n" for i in range(200)]
    lines[150] = "0 qid:15 1:1 999999:3\n"
    sentence = r"train.txt:151: the largest feature index up to here, 999999, makes a matrix of 0.[68] GB, of which the file fills 0.00%"
    for size in (2**25, 100):
        monkeypatch.setattr(svmlight, "BLOCK", size)
        tracemalloc.start()
        with pytest.raises(DataError, match=sentence):
            read_svmlight(written("".join(lines)))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < (2**27 if size == 2**25 else 2**29)
    lines[150] = "0 qid:15 1:1 400:3\n"
    assert read_svmlight(written("".join(lines))).n_features == 400


def test_an_index_beyond_many_rows_blames_the_line_even_where_it_came_first(written, monkeypatch):
    monkeypatch.setattr(svmlight, "HEAVY", 2**12)
    monkeypatch.setattr(svmlight, "BLOCK", 64)
    text = "0 qid:a 999:1\n" + "0 qid:a 1:1 2:1\n" * 100
    with pytest.raises(DataError, match=r"train.txt:1: the largest feature index up to here, 999, makes a matrix"):
        read_svmlight(written(text))


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("0 qid:é 1:1", r"qid b'\\xe9' must be UTF-8; convert the file"),
        ("0 qid:a 1:1 # docid = é", r"docid b'\\xe9' must be UTF-8; convert the file"),
        ("0 qid:a\xa0b 1:1", r"qid b'a\\xa0b' must be UTF-8"),
    ],
)
def test_ids_that_are_no_utf8(tmp_path, line, sentence):
    path = tmp_path / "train.txt"
    path.write_bytes(f"1 qid:0 1:1 # docid = x\n{line}\n".encode("latin-1"))
    with pytest.raises(DataError, match=rf"train.txt:2: {sentence}"):
        read_svmlight(path)


def test_a_comment_that_is_no_utf8_names_nothing_and_that_is_told_at_every_start(tmp_path, caplog):
    (tmp_path / "train.txt").write_bytes("1 qid:0 1:1 # V1\n1 qid:0 1:1 # Größe\n".encode("latin-1"))
    for _ in range(2):  # the second comes from the cache
        caplog.clear()
        assert read_svmlight(tmp_path / "train.txt").named is None
        assert "train.txt:2: the comment is no UTF-8, so documents have the ids LIST-CODE-LINE; convert" in caplog.text


def test_long_numbers_are_read_to_their_end(written):
    """The exponent stands behind more digits than a message would show."""
    table = read_svmlight(written(f"1.{'5' * 60}e1 qid:0 1:2.{'7' * 500}e-3\n"))
    assert table.labels.tolist() == [float(f"1.{'5' * 60}e1")]
    np.testing.assert_array_equal(table.features, np.float32([[float(f"2.{'7' * 500}e-3")]]))


@pytest.mark.parametrize("comment", ["# docid D2", ""])
def test_a_document_without_a_docid_among_others_is_told(written, caplog, comment):
    """The word docid is no name."""
    path = written(f"1 qid:0 1:1 # docid = D1\n1 qid:0 1:1 {comment}\n1 qid:0 1:1 # docid = D3\n")
    for _ in range(2):  # from the cache too
        caplog.clear()
        assert read_svmlight(path).doc_ids(np.arange(3)) == ["0-cdaf-1", "0-65f4-2", "0-454f-3"]
        assert (
            "train.txt:2: this line names no document with docid =, as others do, so documents have the ids"
            in caplog.text
        )


def test_a_comment_without_a_word_that_could_be_a_name_is_not_told(tmp_path, caplog):
    (tmp_path / "train.txt").write_text("1 qid:0 1:1 # same\n1 qid:0 1:1 # same\n")
    assert read_svmlight(tmp_path / "train.txt").named is None
    assert not caplog.text


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("0 qid:a\u2003b 1:1", r"qid 'a\\u2003b' must be one word"),
        ("0 qid:" + "a" * 1025 + " 1:1", r"qid 'a+'\.\.\. must have at most 1,024 bytes"),
        ("0 qid:b 1:1 # docid = x\0y", r"docid 'x\\x00y' must not hold the character NUL"),
        ("1e39 qid:b 1:1", r"the label must be a finite number within float32, got '1e39'"),
        ("-1e400 qid:b 1:1", r"the label must be a finite number within float32, got '-1e400'"),
    ],
)
def test_what_no_run_could_hold_is_refused_at_once(written, line, sentence):
    with pytest.raises(DataError, match=rf"train.txt:2: {sentence}"):
        read_svmlight(written(f"1 qid:0 1:1 # docid = x\n{line}\n"))


def test_one_long_docid_among_many_is_refused_before_it_takes_the_memory(written, monkeypatch):
    monkeypatch.setattr("ltr.io.parsing.run_lines.HEAVY", 2**14)
    text = "".join(f"1 qid:0 1:1 # docid = x{i}\n" for i in range(100))
    with pytest.raises(DataError, match=r"train.txt:101: a document id has 900 bytes, and each of the 101 ids"):
        read_svmlight(written(text + "1 qid:0 1:1 # docid = " + "x" * 900))


@pytest.mark.parametrize("pack", [bytes, bz2.compress, lzma.compress])
def test_a_pipe_is_read_once_and_known_by_its_content(tmp_path, pack):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for label in (1, 2):
        data = pack(f"\ufeff{label} qid:a 1:1\n".encode())
        writer = threading.Thread(target=pipe.write_bytes, args=(data,))
        writer.start()
        assert read_svmlight(pipe).labels.tolist() == [label]
        writer.join(10)


def test_a_list_in_two_blocks(written):
    path = written("0 qid:a 1:1\n0 qid:b 1:1\n0 qid:a 1:1\n")
    with pytest.raises(
        DataError, match=r"txt:3: qid a is split in two blocks, the first of which begins at line 1; sort"
    ):
        read_svmlight(path)


def test_a_docid_twice_in_a_list(written):
    path = written("0 qid:a 1:1 #docid = X\n0 qid:a 1:1 #docid = X\n")
    with pytest.raises(
        DataError, match=r"txt:2: docid X stands in its list twice; every document of a list needs an id"
    ):
        read_svmlight(path)


@pytest.mark.parametrize("text", ["", "\n\n", "# only a comment\n"])
def test_an_empty_file(written, text):
    with pytest.raises(DataError, match=r"train.txt: the file holds no document; a line reads LABEL qid:LIST"):
        read_svmlight(written(text))


def test_a_file_without_features(written):
    with pytest.raises(DataError, match=r"train.txt: no line holds a feature; a line reads LABEL qid:LIST"):
        read_svmlight(written("1 qid:a\n0 qid:a # x\n"))


def test_a_damaged_gzip(written):
    path = written(LETOR * 50, "train.txt.gz")
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(DataError, match=r"train.txt.gz: the packed file is not whole after line \d+ \(.*; fetch or"):
        read_svmlight(path)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(DataError, match=r"features: no file .*none.txt"):
        read_svmlight(tmp_path / "none.txt")


def test_a_number_of_features_that_cannot_be(written):
    with pytest.raises(ConfigError, match="n_features must be at least 1, got 0"):
        read_svmlight(written(LETOR), n_features=0)


def test_values_that_float32_makes_one_are_told(written, caplog):
    """Seconds since 1970 within a minute; numbers that differ enough, or that are all the same, are left alone."""
    path = written(
        "".join(
            f"{i % 2} qid:a 1:{1_700_000_000 + i} 2:{16_777_216 + i * 1000} 3:1700000000 4:0.{i}\n" for i in range(9)
        )
    )
    for _ in range(2):  # from the cache too
        caplog.clear()
        read_svmlight(path)
        assert [m for m in caplog.messages if "float32" in m] == [
            f"{path}: the feature 1 has values that lie nearer to each other than float32 keeps apart, so that many become "
            "one: subtract what they have in common (such as the first time from times)"
        ]
