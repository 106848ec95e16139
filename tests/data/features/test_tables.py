"""Tables of any make: rows that do not fit are refused, columns that are no numbers are named, nothing shifts or vanishes."""

import bz2
import csv
import functools
import gzip
import io
import lzma
import math
import os
import random
import threading

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from ltr.data import EngagementData
from ltr.data.features import tables
from ltr.data.features.columns import Columns, as_floats, read_columns
from ltr.errors import DataError
from ltr.io.sources import Source

PLAIN = Columns("q", "d", "s")
HEAD = "q,d,x,s\n"


@pytest.fixture
def read(tmp_path):
    """Reads a table that is written as text, bytes or a frame."""

    def reading(table, name="log.csv", columns=PLAIN):
        path = tmp_path / name
        if isinstance(table, pd.DataFrame):
            table.to_parquet(path, index=False)
        else:
            path.write_bytes(table.encode() if isinstance(table, str) else table)
        return read_columns(str(path), columns)

    return reading


def refused(read, table, sentence, **how):
    with pytest.raises(DataError, match=sentence):
        read(table, **how)


# ------------------------------------------------------------------ rows


@pytest.mark.parametrize("quoted", [False, True])
@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        (
            "a,d2,1,51,4",
            r"log.csv:3: the header names 4 columns, and this row has 5 fields: 'a,d2,1,51,4'; a field that holds",
        ),
        ("a,d2,1", r"log.csv:3: the header names 4 columns, and this row has 3 fields: 'a,d2,1'$"),
        ("a", r"log.csv:3: the header names 4 columns, and this row has 1 field: 'a'$"),
        (",,,,,", r"log.csv:3: the header names 4 columns, and this row has 6 fields"),
    ],
)
def test_a_row_with_another_number_of_fields(read, monkeypatch, row, sentence, quoted):
    d = '"d1"' if quoted else "d1"
    text = f"{HEAD}a,{d},1,2\n{row}\nb,d1,1,2\n"
    refused(read, text, sentence)
    monkeypatch.setattr(tables, "BLOCK", 9)
    refused(read, text, sentence)


def test_all_rows_too_long_do_not_shift_either(read):
    refused(read, HEAD + "a,d1,1,51,4\na,d2,1,30,2\n", r"log.csv:2: the header names 4 columns, and this row has 5")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("q,d,x,x,s\n", r"log.csv:1: two columns have the name 'x'; rename or remove one"),
        ("\n1,2,3.5,7\n1,3,3.5,7\n", r"log.csv:2: the first line must name the columns, got the numbers '1,2,3.5,7'"),
        (HEAD + 'a,"d"1,1,2\n', r"log.csv:2: this row is no CSV: .*; mend its quotes"),
        (HEAD + 'a,d,1,2\nb,"d,1,2\nc,d,1,2\n', r"log.csv:3: this row is no CSV: .*; mend its quotes"),
        (HEAD, r"log.csv: the table holds no row"),
        (HEAD + "a,d,1,2\0\n", r"log.csv: the text must be UTF-8 without the character NUL; convert the file"),
        (HEAD.encode("utf-16"), r"log.csv: the text must be UTF-8 without the character NUL"),
        (
            (HEAD + "a,d,1,2\né,d,1,2\n").encode("latin-1"),
            r"log.csv:3: the text must be UTF-8, got .*; convert the file",
        ),
    ],
)
def test_what_is_no_table(read, text, sentence):
    refused(read, text, sentence)


def test_lines_are_those_of_the_file(read):
    text = HEAD + 'a,d1,1,2\n\n\r\na,"d2",1,"3"\nb,"d3",1,x\n'
    refused(read, text, r"log.csv:6: column 's': every value must be a finite number, got 'x'")
    table = read(text.replace(",x\n", ",4\n"))
    assert table.lines.tolist() == [2, 5, 6]
    plain = read(text.replace(",x\n", ",4\n").replace('"', ""))
    assert plain.lines.tolist() == [2, 5, 6]
    refused(read, 'q,d,"x\ny",s\na,d1,1,2\na,d2,1,x\n', r"log.csv:4: column 's'")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("q;d;x;s\na;d1;1.5;2\n", "log.csv"),
        ("\ufeffq\td\tx\ts\na\td1\t1.5\t2\n", "log.TSV"),
        ("q\td,e\tx\td\ts\na\t0\t1.5\td1\t2\n", "log.csv"),
        ("q,d,x,s\r\na,d1,1.5,2", "log.CSV"),
        ("q,d,x,s\ra,d1,1.5,2\r", "log.csv"),
        ("\n\nq,d,x,s\na,d1,1.5,2", "log.csv"),
        ('"q","d","x","s"\n"a","d1","1.5","2"\n\n', "log.csv"),
    ],
)
def test_forms_of_csv(read, text, name):
    table = read(text, name, Columns("q", "d", "s", ("x",)))
    assert (table.query_ids, table.doc_ids(np.arange(1))) == (["a"], ["d1"])
    assert (table.features.tolist(), table.labels.tolist()) == ([[1.5]], [2.0])


@pytest.mark.parametrize(
    ("ending", "pack"),
    [
        (".gz", gzip.compress),
        (".bz2", bz2.compress),
        (".xz", lzma.compress),
        (".zst", functools.partial(pa.compress, codec="zstd", asbytes=True)),
    ],
)
def test_packed_tables(tmp_path, ending, pack):
    data = (HEAD + "".join(f"a,d{i},{i},{i % 3}\n" for i in range(300))).encode()
    path = tmp_path / f"log.CSV{ending}"
    path.write_bytes(bytes(pack(data)))
    settings = {"list_id": "q", "item_id": "d", "label": "s"}
    assert EngagementData(train=str(path), **settings).whole("train").features.shape == (300, 1)
    path.write_bytes(bytes(pack(data))[:-20])
    with pytest.raises(DataError, match=r"log.CSV.*: the packed file is not whole \(.+\); fetch or pack it again"):
        EngagementData(train=str(path), **settings).whole("train")


@pytest.mark.parametrize("name", ["pipe", "pipe.parquet"])
def test_a_pipe_is_read_once(tmp_path, name):
    pipe = tmp_path / name
    os.mkfifo(pipe)
    frame = pd.DataFrame({"q": ["a", "a"], "d": ["1", "2"], "x": [1.0, 2.0], "s": [3.0, 4.0]})
    frame.to_parquet(tmp_path / "t.parquet", index=False)
    data = (tmp_path / "t.parquet").read_bytes() if "parquet" in name else frame.to_csv(index=False).encode()
    writer = threading.Thread(target=pipe.write_bytes, args=(data,))
    writer.start()
    table = read_columns(str(pipe), PLAIN)
    writer.join(10)
    assert table.labels.tolist() == [3.0, 4.0]
    assert table.digest


# ------------------------------------------------------------------ ids


def test_na_is_an_id_and_so_is_007(read):
    table = read(HEAD + "NA,007,1,2\nnull,nan,2,3\n")
    assert table.query_ids == ["NA", "null"]
    assert table.doc_ids(np.arange(2)) == ["007", "nan"]


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ("my list,d2,1,2", r"log.csv:3: column 'q': an id must be one word, got 'my list'"),
        ("a, d2,1,2", r"log.csv:3: column 'd': an id must be one word, got ' d2'"),
        ("a\f,d2,1,2", r"log.csv:3: column 'q': an id must be one word, got 'a\\x0c'"),
        ("a,my doc,1,2", r"log.csv:3: column 'd': an id must be one word, got 'my doc'"),
        ('a,"d\n2",1,2', r"log.csv:3: column 'd': an id must be one word, got 'd\\n2'"),
        ("#a,d2,1,2", r"log.csv:3: column 'q': an id must not begin with #, which marks a comment, got '#a'"),
        ("a," + "x" * 1025 + ",1,2", r"log.csv:3: column 'd': an id must have at most 1,024 bytes, has 1,025"),
    ],
)
def test_ids_that_no_run_could_hold_are_refused_at_once(read, row, sentence):
    refused(read, f"{HEAD}a,d1,1,2\n{row}\n", sentence)


def test_one_long_id_among_many_is_refused_before_it_takes_the_memory(read, monkeypatch):
    monkeypatch.setattr("ltr.io.parsing.run_lines.HEAVY", 2**14)
    rows = "".join(f"a,d{i},{i},1\n" for i in range(100))
    refused(read, f"{HEAD}{rows}a,{'x' * 900},1,2\n", r"log.csv:102: column 'd': a document id has 900 bytes")


def test_ids_of_parquet_that_are_floats_meet_those_of_other_files(read):
    """Whole numbers become floats in pandas where one was missing; as text, 12.0 is not the 12 of another file."""
    frame = pd.DataFrame({"q": ["a", "a"], "d": [12.0, 13.0], "x": [1.0, 2.0], "s": [3.0, 4.0]})
    columns = Columns("q", "d", "s")
    for ids in ([12.0, 13.0], pd.Categorical([12.0, 13.0]), np.float32([12, 13])):
        assert read(frame.assign(d=ids), "t.parquet", columns).doc_ids(np.arange(2)) == ["12", "13"]
    for ids, said in (
        (
            [12.0, 12.5],
            r"row 2: column 'd': an id of type float64 must be a whole number below 2\^53, got 12.5; write ids as text",
        ),
        ([12.0, 2.0**53], r"row 2: column 'd': an id of type float64 .* got 9007199254740992"),
        (pd.Categorical([12.0, 12.5]), r"row 2: column 'd': an id of type float64 .* got 12.5"),
        (
            np.float32([12, 2**24]),
            r"row 2: column 'd': an id of type float32 must be a whole number below 2\^24, got 16777216",
        ),
    ):
        refused(read, frame.assign(d=ids), rf"t.parquet: {said}", name="t.parquet", columns=columns)


def test_ids_of_parquet_that_are_bytes(read):
    frame = pd.DataFrame({"q": ["a", "a"], "raw": [b"d1", "é".encode()], "x": [1.0, 2.0], "s": [3.0, 4.0]})
    table = read(frame, "t.parquet", Columns("q", "raw", "s"))
    assert table.doc_ids(np.arange(2)) == ["d1", "é"]
    frame["raw"] = [b"d1", b"\xe9"]
    refused(
        read,
        frame,
        r"t.parquet: row 2: column 'raw': ids must be UTF-8; write them as text",
        name="t.parquet",
        columns=Columns("q", "raw", "s"),
    )


# ------------------------------------------------------------------ amounts


def frame_of(**columns):
    return pd.DataFrame({"q": ["a", "a", "b"], "d": ["1", "2", "3"], "x": [1.0, 5.0, 2.0], **columns})


def test_durations_count_in_seconds(read):
    times = pd.to_timedelta(["1h", "90.5s", "123us"])
    table = read(frame_of(s=times, more=times[::-1]), "t.parquet")
    assert table.labels.tolist() == [3600.0, 90.5, 0.000123]
    assert table.names == ("x", "more")
    np.testing.assert_array_equal(table.features[:, 1], np.float32([0.000123, 90.5, 3600]))
    refused(
        read,
        frame_of(s=pd.to_timedelta(["1h", None, "2h"])),
        r"t.parquet: row 2: column 's': every value must be a finite number, got an empty field",
        name="t.parquet",
    )


def test_columns_of_all_kinds_of_parquet(tmp_path):
    from decimal import Decimal

    from pyarrow.parquet import write_table

    columns = {
        "q": pa.array(["a", "a", "b"]).dictionary_encode(),
        "d": pa.array([1, 2, 3], pa.uint8()),
        "s": pa.array([Decimal("1.50"), Decimal("0"), Decimal("2.25")]),
        "half": pa.array(np.float16([1, 2, 3])),
        "long": pa.array([5_000_000, 0, 90_500_000], pa.time64("us")),
        "short": pa.array([1, 2, 3], pa.time32("s")),
        "lasted": pa.array([1500, 0, 250], pa.duration("ms")),
        "flag": pa.array([True, False, True]),
        "inside": pa.array([{"x": 1.0, "y": "w"}, {"x": 2.0, "y": "w"}, {"x": 3.0, "y": "w"}]),
        "vector": pa.array([[1.0], [2.0, 3.0], []]),
        "day": pa.array([0, 1, 2], pa.date32()),
    }
    path = tmp_path / "t.parquet"
    write_table(pa.table(columns), path)
    table = read_columns(str(path), PLAIN)
    assert table.query_ids == ["a", "b"]
    assert table.doc_ids(np.arange(3)) == ["1", "2", "3"]
    assert table.labels.tolist() == [1.5, 0.0, 2.25]
    assert table.names == ("half", "long", "short", "lasted", "flag", "inside.x")
    assert table.features.tolist() == [[1, 5, 1, 1.5, 1, 1], [2, 0, 2, 0, 0, 2], [3, 90.5, 3, 0.25, 1, 3]]
    assert table.notes == (
        "no features are inside.y (text such as 'w'), vector (lists or mappings), day (points in time)",
    )
    with pytest.raises(DataError, match=r"row 1: column 'vector': every value must be a finite number, got \[1.\]"):
        read_columns(str(path), Columns("q", "d", "s", ("vector",)))
    write_table(pa.table([pa.array([1.0])] * 2, names=["s", "s"]), path)
    with pytest.raises(DataError, match=r"t.parquet: two columns have the name 's'"):
        read_columns(str(path), PLAIN)
    write_table(pa.table({**columns, "inside.x": columns["s"]}), path)
    with pytest.raises(DataError, match=r"t.parquet: two columns have the name 'inside.x'"):
        read_columns(str(path), PLAIN)
    write_table(pa.table({**columns, "q": columns["vector"]}), path)
    with pytest.raises(DataError, match=r"t.parquet: row 1: column 'q': an id must be one word, got \[1.\]"):
        read_columns(str(path), PLAIN)
    write_table(pa.table({**columns, "day": pa.array([0, 1, 2], pa.timestamp("s", tz="Nowhere/Else"))}), path)
    with pytest.raises(
        DataError, match=r"t.parquet: not a Parquet file that can be read \((ArrowInvalid|UnknownTimeZoneError): "
    ):
        read_columns(str(path), PLAIN)
    no_text = pa.Array.from_buffers(
        pa.string(), 3, [*pa.array(["ab", "b", "c"]).buffers()[:2], pa.py_buffer(b"\xff\xfebc")]
    )
    write_table(pa.table({**columns, "d": no_text}), path)
    with pytest.raises(DataError, match=r"t.parquet: not a Parquet file that can be read \(ArrowInvalid: .*UTF8"):
        read_columns(str(path), PLAIN)


@pytest.mark.parametrize("name", ["t.csv", "t.parquet"])
def test_features_that_float32_makes_one_are_told(read, name):
    frame = frame_of(s=[1.0, 2.0, 3.0]).drop(columns="x").assign(near=[7e9, 7e9 + 1, 7e9 + 2], far=[1e8, 2e8, 3e8])
    table = frame if name == "t.parquet" else frame.to_csv(index=False)
    assert read(table, name).notes == (
        "the feature near has values that lie nearer to each other than float32 keeps apart, so that many become one: "
        "subtract what they have in common (such as the first time from times)",
    )


def test_points_in_time_are_no_amount(read):
    days = pd.to_datetime(["2024-05-01", "2024-05-02", "2024-05-04"])
    refused(
        read,
        frame_of(s=days),
        r"t.parquet: row 1: column 's': points in time such as 2024-05-01 .* are no amount; take the time between two",
        name="t.parquet",
    )
    table = read(frame_of(s=[1.0, 2.0, 3.0], day=days), "t.parquet")
    assert table.names == ("x",)
    assert table.notes == ("no features are day (points in time)",)
    refused(
        read,
        frame_of(s=[1.0, 2.0, 3.0], day=days),
        r"row 1: column 'day': points in time",
        name="t.parquet",
        columns=Columns("q", "d", "s", ("day",)),
    )


def test_an_amount_beyond_float32(read):
    refused(
        read, HEAD + "a,d1,1,2\na,d2,1,1e39\n", r"log.csv:3: column 's': an amount must be within float32, got 1e\+39"
    )


# ------------------------------------------------------------------ features


@pytest.mark.parametrize(
    ("cells", "sentence"),
    [
        (["1", "n/d", "2"], r"log.csv:3: column 'x': every value must be a finite number, got 'n/d'"),
        (["1", "NA", "2"], r"log.csv:3: column 'x': every value must be a finite number, got 'NA'"),
        (
            ['"1,024"', "7", '"2,048"'],
            r"log.csv:2: column 'x': .* got '1,024'; write it with a decimal point and no marks",
        ),
        (['"1,5"'] * 3, r"log.csv:2: column 'x': .* got '1,5'; write it with a decimal point and no marks"),
        (["True", "", "False"], r"log.csv:3: column 'x': every value must be a finite number, got an empty field"),
        (["1", "", "2"], r"log.csv:3: column 'x': every value must be a finite number, got an empty field"),
    ],
)
def test_one_bad_cell_does_not_make_a_feature_vanish(read, cells, sentence):
    rows = "".join(f"a,d{i},{cell},{i},7\n" for i, cell in enumerate(cells))
    refused(read, "q,d,x,s,y\n" + rows, sentence)


def test_a_flag_between_numbers_is_no_number():
    """Pandas reads long files by pieces: some of them can be flags, the others numbers."""
    mixed = pd.Series([True, 1.5, "2", None], dtype=object)
    np.testing.assert_array_equal(as_floats(mixed), [np.nan, 1.5, 2, np.nan])
    np.testing.assert_array_equal(as_floats(pd.Series([True, None, False], dtype=object)), [1, np.nan, 0])


def test_columns_that_are_left_out_are_named(read, caplog):
    text = ",q,d,x,s,title,none,level_0,Unnamed: 0.1\n" + "".join(
        f"{i},a,d{i},{i},{i % 2},{'t' if i else 1984},,{i},{i}\n" for i in range(3)
    )
    table = read(text)
    assert table.names == ("x",)
    told = (
        "no features are Unnamed: 0 (an index that was saved), title (text such as '1984'), none (empty), "
        "level_0 (an index that was saved), Unnamed: 0.1 (an index that was saved)"
    )
    assert table.notes == (told,)
    assert told in caplog.text
    chosen = read(text, columns=Columns("q", "d", "s", ("x", "level_0")))
    assert chosen.names == ("x", "level_0")
    assert chosen.notes == ()


def test_the_description_says_it_too(tmp_path):
    (tmp_path / "log.csv").write_text("q,d,x,s,title\na,d1,1,2,t\na,d2,2,3,u\n")
    data = EngagementData(train=str(tmp_path / "log.csv"), list_id="q", item_id="d", label="s")
    data.whole("train")
    assert data.describe().splitlines()[-1] == f"{tmp_path}/log.csv: no features are title (text such as 't')"


def test_bytes_and_decimals_of_parquet(read):
    frame = frame_of(s=[1.0, 2.0, 3.0], raw=[b"\0<", b"\0@", b"\0B"])
    assert read(frame, "t.parquet").notes == (
        "no features are raw (bytes, which a float16 of Parquet is too: write float32)",
    )
    gap = frame_of(s=[1.0, 2.0, 3.0], seen=pd.array([True, None, False], dtype="boolean"))
    refused(
        read, gap, r"row 2: column 'seen': every value must be a finite number, got an empty field", name="t.parquet"
    )


def test_features_beyond_float32_are_clipped_and_counted(read):
    table = read(HEAD + "a,d1,1e39,2\na,d2,-1e40,1\na,d3,1,1\n")
    largest = float(np.finfo(np.float32).max)
    assert table.features[:, 0].tolist() == [largest, -largest, 1.0]
    assert table.notes == ("2 values beyond float32 are kept as 3.40282e+38",)


@pytest.mark.parametrize(("unit", "many"), [("seconds", 1), ("milliseconds", 1000), ("nanoseconds", 10**9)])
def test_times_since_1970_are_named(read, unit, many):
    text = HEAD + "".join(f"a,d{i},{(1_700_000_000 + 9 * i) * many},{i}\n" for i in range(3))
    assert read(text).notes == (
        f"the feature x looks like {unit} since 1970, which new documents go beyond; is it one?",
        "the feature x has values that lie nearer to each other than float32 keeps apart, so that many become one: "
        "subtract what they have in common (such as the first time from times)",
    )
    assert read(HEAD + "a,d1,1500000000,1\na,d2,7,1\n").notes == ()


# ------------------------------------------------------------------ against the standard library

CELLS = [
    "1",
    "2.5",
    "",
    "a",
    "NA",
    '"b"',
    '"a,b"',
    '"a""b"',
    'x"y',
    '"u"v',
    '"l\nm"',
    " 3 ",
    "7,1",
    "1_0",
    "é",
    "\t",
    "0x1",
    "inf",
]


def mixed(rng):
    """A small table most rows of which have four fields."""
    rows = [["q", "d", "x", "s"]]
    for i in range(rng.randint(1, 4)):
        row = [rng.choice("ab"), f"d{i}", str(i), str(rng.randint(0, 9))]
        for _ in range(rng.choice([0, 0, 1, 1, 2])):
            at = rng.randrange(5)
            row[at : at + rng.randint(0, 1)] = [rng.choice(CELLS)]
        rows.append(row)
    return "".join(",".join(row) + rng.choice(["\n", "\n", "\r\n", "\n\n"]) for row in rows)


def test_what_is_taken_is_what_the_strict_csv_module_takes(tmp_path):
    rng = random.Random(3)
    path = tmp_path / "log.csv"
    taken = 0
    for _ in range(250):
        text = mixed(rng)
        path.write_bytes(text.encode())
        try:
            frame, lines = tables.read_csv(Source(path), ["q", "d"], ["s"])
        except DataError:
            continue
        taken += 1
        rows = [row for row in csv.reader(io.StringIO(text, newline=""), strict=True) if row]
        assert list(frame.columns) == rows[0]
        assert len(frame) == len(lines) == len(rows) - 1
        for ours, row in zip(frame.itertuples(index=False), rows[1:], strict=True):
            assert len(row) == 4, repr(text)
            for value, cell in zip(ours, row, strict=True):
                if isinstance(value, str):
                    assert value == cell, repr(text)
                elif math.isnan(value):
                    assert cell == "", repr(text)
                else:
                    assert value == float(cell), repr(text)
                    assert "_" not in cell
    assert taken > 50
