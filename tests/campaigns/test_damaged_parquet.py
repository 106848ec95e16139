"""A Parquet file that is damaged anywhere is refused with a sentence, or read as if it were not; no reader of it dies.

    LTR_FUZZ_PARQUET=20000 LTR_FUZZ_SEED=1 python -m pytest -m slow tests/campaigns/test_damaged_parquet.py -s

damages so many files, reads each in a child that may die, and prints what came of them by the part that was hit. Pages have
checksums here: what is hit there and taken must say what it said before. The footer has none: other names or types may come
of it, within the same rules.
"""

from __future__ import annotations

import os
import random
import resource
import signal
import struct
import sys
import traceback
from collections import Counter

import pytest

from ltr.data.features.columns import Columns, read_columns
from ltr.data.preferences.table import read_preferences
from ltr.errors import LtrError
from ltr.inference.bulk_rows import read_rows

FILES, SEED = int(os.environ.get("LTR_FUZZ_PARQUET", "300")), int(os.environ.get("LTR_FUZZ_SEED", "0"))
#: address space of a child, and seconds that it has for a file
ROOM, SECONDS = 8 << 30, 20


def table_of(rng):
    n = rng.randint(3, 60)
    return {
        "list_id": [f"q{i // 3}" for i in range(n)],
        "item_id": [f"d{i}é" for i in range(n)],
        "seconds": [round(rng.random() * 100, 3) for _ in range(n)],
        "words": [rng.randrange(10_000) for _ in range(n)],
        "gap": [None if i % 4 == 3 else 1.5 for i in range(n)],
        "fresh": [i % 2 == 0 for i in range(n)],
        "title": [rng.choice("abc") for _ in range(n)],
    }


def preferences_of(rng):
    n = rng.randint(3, 20)
    said = [[{"role": "assistant", "content": f"{rng.random()}"}] for _ in range(2 * n)]
    return {"prompt": [f"p{i}" for i in range(n)], "chosen": said[:n], "rejected": said[n:]}


def rows_of(rng):
    n = rng.randint(3, 60)
    return {"query": [f"q {rng.random()}" for _ in range(n)], "doc": ["a text" * rng.randint(0, 5) for _ in range(n)]}


def read_table(path):
    table = read_columns(str(path), Columns("list_id", "item_id", "seconds", ("words", "fresh")))
    return list(table.query_ids), table.labels.tolist(), table.features.tolist(), table.named.tolist()


def read_pairs(path):
    held = read_preferences(str(path))
    return held.prompts, held.responses, held.labels.tolist()


def read_texts(path):
    return [list(rows.columns.values()) for rows in read_rows(path, ["query", "doc"], 7)]


KINDS = {"table": (table_of, read_table), "preferences": (preferences_of, read_pairs), "rows": (rows_of, read_texts)}


def written(kind, path, rng):
    """The bytes of a sound file."""
    import pyarrow as pa
    from pyarrow.parquet import write_table

    write_table(
        pa.table(KINDS[kind][0](rng)),
        path,
        compression=rng.choice(["none", "snappy", "gzip", "zstd"]),
        row_group_size=rng.choice([10, 1000]),
        use_dictionary=rng.random() < 0.5,
        data_page_version=rng.choice(["1.0", "2.0"]),
        write_page_checksum=True,
    )
    return path.read_bytes()


def damaged(data, rng):
    """(the part that was hit, the bytes)."""
    data = bytearray(data)
    footer = len(data) - 8 - struct.unpack("<I", data[-8:-4])[0]
    parts = {"pages": (4, footer), "footer": (footer, len(data) - 8), "tail": (len(data) - 8, len(data))}
    part = rng.choice(["pages", "footer", "footer", "tail", "end"])
    if part == "end":
        return part, bytes(data[: rng.randrange(len(data))])
    low, high = parts[part]
    how = rng.randrange(4)
    for _ in range(rng.choice([1, 1, 2, 3])):
        at = rng.randrange(low, high)
        if how == 0:
            data[at] = rng.randrange(256)
        elif how == 1:
            data[at] ^= 1 << rng.randrange(8)
        elif how == 2:
            data[at] = rng.choice([0, 0x7F, 0x80, 0xFF])
        else:
            n = rng.randint(1, 9)
            del data[at : min(at + n, high)]
            high = max(low + 1, high - n)
    return part, bytes(data)


def verdict(kind, path, data, sound):
    """A letter: taken, refused, changed, crashed."""
    path.write_bytes(data)
    try:
        return "taken" if KINDS[kind][1](path) == sound else "changed"
    except LtrError as error:
        return "refused" if len(str(error)) < 1000 and "\n" not in str(error) else f"a sentence such as {error!s:.500}"
    except (Exception, RecursionError):
        return traceback.format_exc(limit=-4)


def in_child(cases, folder):
    """The verdicts of the cases from the first on, up to one at which the reader died; and how it did."""
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        os.close(reading)
        resource.setrlimit(resource.RLIMIT_AS, (ROOM, ROOM))
        with os.fdopen(writing, "wb") as out:
            for kind, _, data, sound in cases:
                signal.alarm(SECONDS)
                said = verdict(kind, folder / f"{kind}.parquet", data, sound).encode()
                out.write(struct.pack("<I", len(said)) + said)
                out.flush()
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        said = []
        while head := pipe.read(4):
            said.append(pipe.read(struct.unpack("<I", head)[0]).decode())
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return said, status


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="forks")
def test_damaged_parquet_is_refused_or_read_rightly(tmp_path, capsys):
    rng = random.Random(SEED)
    counts, faults, done = Counter(), [], 0
    while done < FILES:
        cases = []
        for kind in KINDS:
            path = tmp_path / f"{kind}.parquet"
            sound = written(kind, path, rng)
            value = KINDS[kind][1](path)
            cases += [(kind, *damaged(sound, rng), value) for _ in range(33)]
        done += len(cases)
        while cases:
            said, status = in_child(cases, tmp_path)
            for (kind, part, data, _), what in zip(cases, said, strict=False):
                known = what in ("taken", "refused") or (what == "changed" and part != "pages")
                counts[part, what if known else "fault"] += 1
                if not known:
                    faults.append((kind, part, data, what))
            if len(said) < len(cases):
                kind, part, data, _ = cases[len(said)]
                counts[part, "died"] += 1
                faults.append((kind, part, data, f"the reader died: {status}"))
            cases = cases[len(said) + 1 :]
    with capsys.disabled():
        print(f"\nParquet: {done:,} files, {dict(sorted(counts.items()))}, {len(faults)} faults")
        for kind, part, data, what in faults[: int(os.environ.get("LTR_FUZZ_SHOWN", "10"))]:
            print(f"--- {kind}, {part}: {data!r:.3000}\n  {what}")
    assert not faults
    assert counts["pages", "refused"]
