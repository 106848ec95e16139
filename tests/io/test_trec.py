"""TREC files: what is written is read, fast and line-by-line reader agree, errors name file and line."""

import bz2
import errno
import functools
import gzip
import lzma
import os
import re
import threading

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ltr.errors import DataError
from ltr.io import trec
from ltr.io.parsing import run_lines
from ltr.io.parsing.run_lines import read_columns
from ltr.io.sources import Source
from ltr.io.trec import Run, qrels_from, read_qrels, read_run, write_qrels, write_run

WORDS = st.text(st.characters(exclude_categories=["Z", "C"]), min_size=1, max_size=20)
#: NumPy's reader takes these; others go line by line
ASCII = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=20)


def packed(data: bytes, ending: str) -> bytes:
    pack = {
        ".gz": gzip.compress,
        ".bz2": bz2.compress,
        ".xz": lzma.compress,
        ".zst": functools.partial(pa.compress, codec="zstd", asbytes=True),
    }[ending]
    return bytes(pack(data))


def runs_of(ids):
    queries = ids.filter(lambda name: not name.startswith("#"))  # which would be a comment
    return st.dictionaries(queries, st.dictionaries(ids, st.floats(-1e30, 1e30), min_size=1, max_size=6), min_size=1)


@settings(max_examples=60, deadline=None)
@given(runs_of(WORDS) | runs_of(ASCII), st.sampled_from(["run.trec", "run.trec.gz"]))
def test_a_written_run_is_read_with_the_same_order(tmp_path_factory, table, name):
    path = tmp_path_factory.mktemp("run") / name
    run = Run.from_dict(table, name="my run")
    write_run(path, run)
    again = read_run(path)
    assert again.query_ids == run.query_ids
    assert again.doc_ids.tolist() == run.doc_ids.tolist()
    np.testing.assert_array_equal(again.scores.astype(np.float32), run.scores.astype(np.float32))


@settings(max_examples=60, deadline=None)
@given(runs_of(ASCII))
def test_both_readers_agree(tmp_path_factory, table):
    path = tmp_path_factory.mktemp("run") / "run.trec"
    write_run(path, Run.from_dict(table))
    fast, slow = trec._grouped(read_columns(path), "a"), trec._read_run_by_line(Source(path), "a")
    assert fast.to_dict() == slow.to_dict()
    assert fast.query_ids == slow.query_ids


def test_lines_in_any_order_with_tabs_blank_lines_and_windows_ends(tmp_path):
    path = tmp_path / "r.trec"
    path.write_bytes(b'q1 Q0 a 1 0.5 t\r\n\nq2\tQ0\tb\t1\t-1e-3\tt\n  q1 Q0 c 9 2 t\nq# Q0 "x 1 3 t')
    run = read_run(path)
    assert run.to_dict() == {"q1": {"c": 2.0, "a": 0.5}, "q2": {"b": -0.001}, "q#": {'"x': 3.0}}
    assert run.query_ids == ["q1", "q2", "q#"]


@pytest.mark.parametrize("length", [14, 15, 16, 17, 31, 32, 33, 200])
def test_ids_of_any_length_are_read_whole(tmp_path, length):
    path = tmp_path / "r.trec"
    docs = ["d" * (length - 1) + x for x in "ab"]
    path.write_text("".join(f"{'q' * length} Q0 {doc} 1 1 t\n" for doc in docs))
    assert read_run(path).to_dict() == {"q" * length: {docs[1]: 1.0, docs[0]: 1.0}}


@pytest.mark.parametrize("blank", ["\u2028", "\u00a0", "\u3000", "\x1d"])
def test_white_space_that_trec_eval_takes_for_a_part_of_an_id_is_not_cut_off(tmp_path, blank):
    path = tmp_path / "file"
    for read, before, behind in (read_run, "q Q0 ", " 1 2.5 t\n"), (read_qrels, "q 0 ", " 1\n"):
        path.write_text(f"{before}c{behind}{before}d{blank}{behind}", encoding="utf-8")
        with pytest.raises(DataError, match=rf"file:2: document id {re.escape(repr(f'd{blank}'))} must be one word"):
            read(path)
        path.write_text(f"{before}c{behind}{before}d{behind}".replace(" ", blank), encoding="utf-8")
        assert len(read(path)) == 1, "where it parts all fields there is no doubt"


def test_letters_whose_bytes_look_like_white_space_stay_whole(tmp_path):
    path = tmp_path / "r.trec"
    path.write_text("q Q0 voilà 1 1 t\nq Q0 \u0105 1 2 t\n", encoding="utf-8")  # à is C3 A0, ą is C4 85
    assert read_run(path)["q"][0].tolist() == ["ą", "voilà"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [("bm25.trec", "bm25"), ("run.bm25.trec.gz", "bm25"), ("a.b.run", "a.b"), ("x.txt", "x"), ("run.trec", "run")],
)
def test_a_run_is_named_after_its_file(tmp_path, name, expected):
    path = tmp_path / name
    write_run(path, Run.from_dict({"q": {"a": 1.0}}))
    assert read_run(path).name == expected
    assert read_run(path, name="mine").name == "mine"


def refused_run(tmp_path, text: str, message: str) -> None:
    path = tmp_path / "r.trec"
    path.write_text(text)
    with pytest.raises(DataError, match=re.escape(str(path)) + message):
        read_run(path)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("q Q0 b 2 1.0", r":2: a run line has 6 fields \(.*\), got 5: 'q Q0 b 2 1.0'"),
        (
            "q Q0 my b 2 1.0 t",
            ":2: a run line has 6 fields .*, got 7: .* an id must be one; here one seems to hold a blank",
        ),
        ("q Q0 b 7 2 1.0 t", ":2: a run line has 6 fields .*, got 7: .* here one seems to hold a blank"),
        ("q Q0 b\f7 2 1.0 t", ":2: a run line has 6 fields .*, got 7: .* here one seems to hold a blank"),
        ("my q Q0 b 2 1.0 t", ":2: a run line has 6 fields .*, got 7: .* here one seems to hold a blank"),
        ("q 0 b 1", ":2: a run line .* got 4: 'q 0 b 1'; 4 fields are judgements"),
        ("q Q0 b 2 high t", ":2: the score must be a finite number, got 'high'"),
        ("q Q0 b 2 nan t", ":2: the score must be a finite number, got 'nan'"),
        ("q Q0 b 2 -inf t", ":2: the score must be a finite number, got '-inf'"),
        ("q Q0 b 2 1_0 t", ":2: the score must be a finite number, got '1_0'"),
        ("q Q0 b 2 \u0661 t", ":2: the score must be a finite number, got '\u0661'"),
        ("q Q0 b\0 2 1 t", r":2: document id 'b\\x00' must not hold the character NUL"),
        ("q\0 Q0 b 2 1 t", r":2: query id 'q\\x00' must not hold the character NUL"),
        ("q Q0 a 2 0.5 t", ":2: document a is listed twice for query q"),
    ],
)
def test_malformed_run_lines_are_located(tmp_path, line, message):
    refused_run(tmp_path, f"q Q0 a 1 2.0 t\n{line}\nq Q0 c 3 0.1 t\n", message)


@pytest.mark.parametrize("text", ["", "\n\n"])
def test_empty_files_say_what_should_be_there(tmp_path, text):
    path = tmp_path / "x.trec"
    path.write_text(text)
    with pytest.raises(DataError, match=r"x.trec: the file is empty; a run line has 6 fields"):
        read_run(path)
    with pytest.raises(DataError, match=r"x.trec: the file is empty; a judgement line has 4 fields"):
        read_qrels(path)


def test_files_that_are_no_text(tmp_path):
    (tmp_path / "a.trec").write_bytes(b"q Q0 a 1 1 t\nq Q0 \xff 1 1 t\n")
    with pytest.raises(DataError, match=r"a.trec:2: the text must be UTF-8, got 'q Q0 \\xff 1 1 t'; convert the file$"):
        read_run(tmp_path / "a.trec")


@pytest.mark.parametrize("ending", [".gz", ".bz2", ".xz", ".zst"])
def test_packed_files_that_are_not_whole(tmp_path, ending):
    cut, fake = tmp_path / f"b.trec{ending}", tmp_path / f"c.trec{ending}"
    cut.write_bytes(packed(b"".join(b"q Q0 d%d 1 1 t\n" % i for i in range(1000)), ending)[:-20])
    fake.write_bytes(b"q Q0 a 1 1 t\n")
    for path in (cut, fake):
        with pytest.raises(
            DataError, match=rf"{path.name}: after line \d+: the packed file is not whole \(.+\); fetch or"
        ):
            read_run(path)


@pytest.mark.parametrize("ending", [".gz", ".bz2", ".xz", ".zst"])
def test_files_are_unpacked_whatever_their_name(tmp_path, ending):
    for name in (f"r.trec{ending}", "r.trec"):
        path = tmp_path / name
        path.write_bytes(packed(b"q Q0 a 1 2 t\n", ending))
        run = read_run(path)
        assert run.to_dict() == {"q": {"a": 2.0}}
        assert run.name == "r"
        path.write_bytes(packed(b"q 0 a 2\n", ending))
        assert read_qrels(path) == {"q": {"a": 2}}


def test_an_id_that_looks_packed_is_text(tmp_path):
    (tmp_path / "r.trec").write_text("BZh9 Q0 a 1 2 t\n")
    assert list(read_run(tmp_path / "r.trec")) == ["BZh9"]


def test_missing_files(tmp_path):
    with pytest.raises(DataError, match="run: no file"):
        read_run(tmp_path / "r.trec")
    with pytest.raises(DataError, match="judgements: no file"):
        read_qrels(tmp_path / "q.trec")


def test_what_could_not_be_read_again_is_not_written(tmp_path):
    path = tmp_path / "r.trec"
    for ids in (("a b", "d"), ("", "d")):
        with pytest.raises(DataError, match=r"run r: query id '.*' must be one word"):
            write_run(path, Run.from_dict({ids[0]: {ids[1]: 1.0}}, "r"))
    for doc in ("d e", "", "d\n"):
        with pytest.raises(DataError, match=r"run r: document id '.*' must be one word"):
            write_run(path, Run.from_dict({"q": {"ok": 3.0, doc: 1.0}}, "r"))
    assert not path.exists()


@pytest.mark.parametrize("blank", ["\u00a0", "\u3000", "\u0085", "\u2028", "\x1c"])
def test_every_white_space_parts_words(tmp_path, blank):
    path = tmp_path / "r.trec"
    for name in (f"a{blank}b", f"{blank}a", f"é{blank}"):
        with pytest.raises(DataError, match=r"run r: query id '.*' must be one word to be written in TREC form"):
            write_run(path, Run.from_dict({name: {"d": 1.0}}, "r"))
        with pytest.raises(DataError, match=r"run r: document id '.*' must be one word to be written in TREC form"):
            write_run(path, Run.from_dict({"q": {"ok": 3.0, "é": 2.0, name: 1.0}}, "r"))
        for qrels in ({name: {"d": 1}}, {"q": {name: 1}}):
            with pytest.raises(DataError, match=r"judgements: \w+ id '.*' must be one word to be written in TREC form"):
                write_qrels(path, qrels)
    assert not path.exists()


def test_ids_that_readers_refuse_are_not_written(tmp_path):
    with pytest.raises(
        DataError, match="run r: query id '#1' must not begin with #, which marks a comment to be written"
    ):
        write_run(tmp_path / "r.trec", Run.from_dict({"#1": {"#d": 3.0}}, "r"))
    with pytest.raises(DataError, match="judgements: query id '#1' must not begin with #"):
        write_qrels(tmp_path / "q.trec", {"#1": {"#d": 3}})
    for name, wrong in {"a\0b": "must not hold the character NUL", "a" * 1025: "must have at most 1,024 bytes"}.items():
        with pytest.raises(DataError, match=f"run r: document id 'a.*{wrong}"):
            write_run(tmp_path / "r.trec", Run.from_dict({"q": {"ok": 3.0, name: 1.0}}, "r"))


def test_scores_beyond_float32_are_written_in_full(tmp_path):
    run = Run.from_dict({"q": {"a": 1e300, "b": -1e300}})
    write_run(tmp_path / "r.trec", run)
    assert read_run(tmp_path / "r.trec").to_dict() == run.to_dict()


def test_a_folder_is_no_file(tmp_path):
    for read, what in ((read_run, "run"), (read_qrels, "judgements")):
        with pytest.raises(DataError, match=rf"{what}: {tmp_path} is a folder; give a file"):
            read(tmp_path)
        with pytest.raises(DataError, match=f"{what}: the name of the file is empty; give one"):
            read("")


def test_the_mark_before_utf8_text_is_no_part_of_the_judgements(tmp_path):
    (tmp_path / "q.trec").write_bytes("\ufeffq 0 a 1\n".encode())
    assert read_qrels(tmp_path / "q.trec") == {"q": {"a": 1}}


def test_compressed_files_do_not_depend_on_time_or_name(tmp_path):
    run = Run.from_dict({"q": {"a": 1.0}})
    for name in ("a.gz", "b.gz"):
        write_run(tmp_path / name, run)
    assert (tmp_path / "a.gz").read_bytes() == (tmp_path / "b.gz").read_bytes()


def test_a_full_disk_keeps_the_old_run(tmp_path, monkeypatch):
    for name in ("a.trec", "a.trec.gz"):
        path = tmp_path / name
        write_run(path, Run.from_dict({"q": {"old": 1.0}}))

        def full(descriptor):
            raise OSError(errno.ENOSPC, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr("os.fsync", full)
            with pytest.raises(DataError, match="No space left on device; the old file is as it was"):
                write_run(path, Run.from_dict({"q": {"new": 1.0}}))
        assert read_run(path)["q"][0].tolist() == ["old"]


@pytest.mark.parametrize("name", ["q.trec", "q.trec.gz"])
def test_written_judgements_are_read(tmp_path, name):
    qrels = {"q2": {"b": 0, "ä": 3}, "q1": {"spam": -2}}
    write_qrels(tmp_path / name, qrels)
    again = read_qrels(tmp_path / name)
    assert again == qrels
    assert list(again) == ["q2", "q1"]


def test_whole_grades_may_be_written_as_real_numbers(tmp_path):
    path = tmp_path / "q.trec"
    path.write_text("q 0 a 1.0\nq 0 b -2.\nq 0 c +3.000\nq 0 a 1\n")
    assert read_qrels(path) == {"q": {"a": 1, "b": -2, "c": 3}}


def test_judging_twice_alike_is_no_contradiction(tmp_path):
    path = tmp_path / "q.trec"
    path.write_text("q 0 a 1\nq 0 a 1\n")
    assert read_qrels(path) == {"q": {"a": 1}}


@pytest.mark.parametrize(
    "text",
    [
        "q Q0 a 1 2 my best run\n q Q0 b 2 1 run 2 of 7\n",
        "# made by me\nq Q0 a 1 2 t\n  #\n# q Q0 c 1 2\nq Q0 b 2 1 t # the last\n",
        "\ufeff#made\r\nq Q0 a 1 2 t\r\n\tq Q0 b 2 1 t\r\n#",
    ],
)
@pytest.mark.parametrize("slow", [False, True])
def test_comments_and_tags_of_several_words(tmp_path, monkeypatch, text, slow):
    path = tmp_path / "r.trec"
    path.write_text(text)
    if slow:
        monkeypatch.setattr(trec, "read_columns", lambda source: (_ for _ in ()).throw(ValueError))
    assert read_run(path).to_dict() == {"q": {"a": 2.0, "b": 1.0}}


def test_comments_need_no_reader_of_single_lines_unless_they_look_like_data(tmp_path, monkeypatch, caplog):
    run, qrels = tmp_path / "r.trec", tmp_path / "q.trec"
    run.write_text("q Q0 a 1 2 t\n#q Q0 b 1 2 t\n#q Q0 c 1 2 t\n# one\n")
    assert read_run(run).to_dict() == {"q": {"a": 2.0}}
    assert caplog.messages == [
        f"{run}:2: lines that begin with # are comments, as for trec_eval; 2 of them have the 6 fields of data"
    ]
    caplog.clear()
    qrels.write_text("# my judgements\nq 0 a 1\n\n#q 0 b 1\n")
    assert read_qrels(qrels) == {"q": {"a": 1}}
    assert caplog.messages == [
        f"{qrels}:4: lines that begin with # are comments, as for trec_eval; 1 of them have the 4 fields of data"
    ]
    monkeypatch.setattr(trec, "_read_run_by_line", None)
    run.write_text("# one\nq Q0 a#1 1 2 #t\n#two\n")
    assert read_run(run).to_dict() == {"q": {"a#1": 2.0}}


def through(pipe, data: bytes) -> threading.Thread:
    """Writes to a pipe, once, until its reader goes away."""

    def write():
        with open(pipe, "wb") as file:
            file.write(data)

    writer = threading.Thread(target=write)
    writer.start()
    return writer


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_a_pipe_is_read_once(tmp_path, ending):
    lines = [f"q{i} Q0 d{j} 1 {-j} t\n" for i in range(300) for j in range(100)]
    lines[7] = "q0 Q0 d7 1 -7 a tag of words\n"  # needs the reader of single lines
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    data = "".join(lines).encode()
    writer = through(pipe, packed(data, ending) if ending else data)
    run = read_run(pipe)
    writer.join(10)
    assert len(run) == 300
    assert len(run.scores) == 30_000


def test_what_is_wrong_with_a_pipe_is_located(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for text, message in {
        "q d\nq Q0 a 1 1 t\n": ":1: a run line has 6 fields",
        "q Q0 a 1 1 t\n" + "q Q0 b\f 1 1 1 t\n": ":2: a run line has 6 fields .*, got 7",
        "\n": ": the file is empty",
    }.items():
        writer = through(pipe, text.encode())
        with pytest.raises(DataError, match=f"{pipe}{message}"):
            read_run(pipe)
        writer.join(10)
    writer = through(pipe, b"q 0 a 1\nq 0 b x\n")
    with pytest.raises(DataError, match=f"{pipe}:2: the grade must be"):
        read_qrels(pipe)
    writer.join(10)


def test_standard_input(tmp_path, monkeypatch):
    (tmp_path / "in").write_text("# mine\nq Q0 a 1 2 my tag\nq Q0 b 1 1\n")
    with open(tmp_path / "in") as file:
        monkeypatch.setattr("sys.stdin", file)
        with pytest.raises(DataError, match=r"standard input:3: a run line has 6 fields"):
            read_run("-")


def test_one_long_id_among_many_is_refused_before_it_takes_the_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(run_lines, "HEAVY", 2**16)
    path = tmp_path / "r.trec"
    short = "".join(f"q Q0 doc{i} 1 {-i} t\n" for i in range(200))
    path.write_text(short + f"q Q0 {'x' * 1000} 1 -900 t\n" + short.replace("q", "p"))
    for slow in (False, True):
        if slow:
            monkeypatch.setattr(trec, "read_columns", lambda source: (_ for _ in ()).throw(ValueError))
        with pytest.raises(
            DataError, match=r"r.trec:201: a document id has 1,000 bytes, and each of the 401 ids .* shorten this id"
        ):
            read_run(path)
    path.write_text(short + f"q Q0 {'x' * 100} 1 -900 t\n")
    assert len(read_run(path).scores) == 201


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("q 0 b", r":2: a judgement line has 4 fields \(.*\), got 3"),
        ("q Q0 b 1 2.0 t", ":2: a judgement line .* got 6: .*; 6 fields are a run"),
        (
            "q 0 b 0.5",
            r":2: the grade must be a whole number, got '0.5'; .* like 'q Q0 b 1 0.5 labels' each, .* a teacher",
        ),
        ("q 0 b 1e0", ":2: the grade must be a whole number, got '1e0'"),
        ("q 0 b 1 t", ":2: a judgement line has 4 fields .*, got 5: 'q 0 b 1 t'$"),
        ("q 0 b nan", ":2: the grade must be a whole number, got 'nan'$"),
        ("q 0 b 1_0", ":2: the grade must be a whole number, got '1_0'$"),
        ("q 0 b \u0661", ":2: the grade must be a whole number, got '\u0661'$"),
        (
            "q 0 b 9007199254740993",
            ":2: the grade must be a whole number, got '9007199254740993'; it can be 2.53 at most",
        ),
        ("q 0 b -9007199254740993", ":2: the grade must be .*'; it can be 2.53 at most"),
        ("q 0 b 1" + 5000 * "0", r":2: the grade must be a whole number, got '10+'\.\.\.; it can be 2.53 at most"),
        ("q 0 " + "b" * 1025 + " 1", r":2: document id 'b+'\.\.\. must have at most 1,024 bytes, has 1,025$"),
        ("q 0 b\0 1", r":2: document id 'b\\x00' must not hold the character NUL"),
        ("q 0 a 2", ":2: document a of query q is judged 2 here and 1 above"),
    ],
)
def test_malformed_judgements_are_located(tmp_path, line, message):
    path = tmp_path / "q.trec"
    path.write_text(f"q 0 a 1\n{line}\n")
    with pytest.raises(DataError, match=re.escape(str(path)) + message):
        read_qrels(path)


def test_judgements_of_a_data_set():
    class Record:
        def __init__(self, query_id, doc_id, relevance):
            self.query_id, self.doc_id, self.relevance = query_id, doc_id, relevance

    assert qrels_from([Record("q", "a", 1), Record("p", "a", 0), Record("q", "b", 2)]) == {
        "q": {"a": 1, "b": 2},
        "p": {"a": 0},
    }
    for grade in (0.5, float("nan")):
        with pytest.raises(DataError, match=rf"query q, document b: the grade must be a whole number, got {grade}"):
            qrels_from([Record("q", "a", 1.0), Record("q", "b", grade)])
    assert qrels_from([Record("q", "a", 1), Record("q", "a", 1.0)]) == {"q": {"a": 1}}
    with pytest.raises(DataError, match="document a of query q is judged 2 and then 0; where these are of subtopics"):
        qrels_from([Record("q", "a", 2), Record("p", "a", 1), Record("q", "a", 0)])


def test_judgements_are_written_as_they_can_be_read(tmp_path):
    write_qrels(tmp_path / "q", {1: {7: 1.0, 8: np.int64(2), 9: True}})
    assert read_qrels(tmp_path / "q") == {"1": {"7": 1, "8": 2, "9": 1}}
    for wrong in (1.5, "1", None, float("nan")):
        with pytest.raises(DataError, match="judgements: query q, document d: the grade must be a whole number, got"):
            write_qrels(tmp_path / "q", {"q": {"d": wrong}})
    with pytest.raises(
        DataError, match=r"judgements must be {query id: {document id: grade}}, got \['d'\] for query q"
    ):
        write_qrels(tmp_path / "q", {"q": ["d"]})


def test_a_table_is_no_run_to_write(tmp_path):
    with pytest.raises(
        DataError, match=r"write_run: a run is needed, got dict {'q': {'d': 1.0}}; Run.from_dict makes one"
    ):
        write_run(tmp_path / "r", {"q": {"d": 1.0}})
