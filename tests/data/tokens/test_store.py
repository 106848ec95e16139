import errno
import multiprocessing
import pickle
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ltr.data.collections.ids import digests
from ltr.data.tokens import shards as token_shards
from ltr.data.tokens import store as token_store
from ltr.data.tokens.index import Index
from ltr.data.tokens.pairs import tokenize
from ltr.data.tokens.shards import Shard
from ltr.data.tokens.store import TokenStore, TokenTable
from ltr.errors import DataError
from tests.data.tokenizers import WORDS, tiny_tokenizer

TOKENIZER = tiny_tokenizer("bert")
TEXTS = {f"d{i}": " ".join(WORDS.split()[i % 7 : i % 7 + i % 11]) for i in range(60)}


class Lookup:
    """Texts by id that remember which were asked for."""

    def __init__(self):
        self.asked = []

    def __call__(self, ids):
        self.asked += ids
        return [TEXTS[i] for i in ids]


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LTR_CACHE", str(tmp_path))


@pytest.fixture
def small_shards(monkeypatch):
    monkeypatch.setattr(token_store, "CHUNK", 4)
    monkeypatch.setattr(token_store, "SHARD_TEXTS", 8)


def same_as_tokenizer(store, ids):
    table = store.open()
    gathered = table.gather(table.rows(ids))
    expected = tokenize(TOKENIZER, [TEXTS[i] for i in ids], store.max_tokens)
    assert gathered.offsets.tolist() == expected.offsets.tolist()
    assert gathered.values.tolist() == expected.values.tolist()


def test_only_what_is_missing_is_tokenised():
    store, lookup = TokenStore("docs", TOKENIZER), Lookup()
    assert store.ensure(["d1", "d2", "d1"], lookup) == 2
    assert store.ensure(["d3", "d2"], lookup) == 1
    assert store.ensure(["d3", "d2"], lookup) == 0
    assert lookup.asked == ["d1", "d2", "d3"]
    same_as_tokenizer(store, ["d3", "d1", "d3", "d2"])


@settings(max_examples=25, deadline=None)
@given(st.lists(st.lists(st.sampled_from(sorted(TEXTS)), max_size=30), min_size=1, max_size=3), st.randoms())
def test_gathered_tokens_are_the_tokenizers_whatever_the_shards(tmp_path_factory, parts, random):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LTR_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setattr(token_store, "CHUNK", 4)
        patch.setattr(token_store, "SHARD_TEXTS", 8)
        store = TokenStore("docs", TOKENIZER)
        for part in parts:
            store.ensure(part, Lookup())
        asked = [text_id for part in parts for text_id in part]
        random.shuffle(asked)
        same_as_tokenizer(store, asked)


def test_shards_end_at_their_sizes(small_shards, monkeypatch):
    store = TokenStore("docs", TOKENIZER)
    store.ensure(TEXTS, Lookup())
    assert [Shard(path).n for path in store.open().paths] == [8] * 7 + [4]
    monkeypatch.setattr(token_store, "SHARD_TOKENS", 1)
    other = TokenStore("other", TOKENIZER)
    other.ensure(list(TEXTS)[1:9], Lookup())
    assert [Shard(path).n for path in other.open().paths] == [4, 4]


def test_keys():
    store = TokenStore("docs", TOKENIZER)
    assert TokenStore("docs", TOKENIZER).folder == store.folder
    others = [
        TokenStore("others", TOKENIZER),
        TokenStore("docs", TOKENIZER, max_tokens=8),
        TokenStore("docs", tiny_tokenizer("roberta")),
    ]
    assert len({store.folder, *(other.folder for other in others)}) == 4


def test_long_texts_are_cut_and_ids_fit_in_two_bytes():
    store = TokenStore("docs", TOKENIZER, max_tokens=3)
    store.ensure(TEXTS, Lookup())
    table = store.open()
    assert table.lengths(np.arange(len(table))).max() == 3
    assert table.gather(table.rows(["d9"])).values.dtype == np.uint16
    same_as_tokenizer(store, list(TEXTS))


def test_empty_texts_only():
    store = TokenStore("docs", TOKENIZER)
    store.ensure(["d0"], Lookup())
    assert TEXTS["d0"] == ""
    same_as_tokenizer(store, ["d0", "d0"])


def test_nothing_stored():
    table = TokenStore("docs", TOKENIZER).open()
    assert len(table) == 0
    assert table.gather(table.rows([])).n == 0


def damage(path, how):
    data = path.read_bytes()
    if how == "cut":
        path.write_bytes(data[:-5])
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "flipped bit":
        path.write_bytes(data[:300] + bytes([data[300] ^ 1]) + data[301:])
    elif how == "foreign":
        path.write_bytes(b"something else" * 40)
    else:
        path.write_bytes(data.replace(b'"texts"', b'"spam!"'))


@pytest.mark.parametrize("how", ["cut", "empty", "flipped bit", "foreign", "header"])
def test_damaged_shards_are_tokenised_again(how, small_shards, caplog):
    store = TokenStore("docs", TOKENIZER)
    store.ensure(TEXTS, Lookup())
    damage(store.open().paths[2], how)
    lookup = Lookup()
    assert TokenStore("docs", TOKENIZER).ensure(TEXTS, lookup) == 8
    assert lookup.asked == list(TEXTS)[16:24]
    assert "is damaged" in caplog.text
    same_as_tokenizer(store, list(TEXTS))


@pytest.mark.parametrize("how", ["cut", "foreign", "header"])
def test_damaged_shards_are_never_opened(how):
    store = TokenStore("docs", TOKENIZER)
    store.ensure(["d1"], Lookup())
    (path,) = store.open().paths
    damage(path, how)
    with pytest.raises(DataError, match=r"token cache: .*shard is damaged: .* it is rebuilt when data are prepared"):
        store.open()


def test_a_rebuilt_shard_never_stands_for_the_damaged_one(small_shards):
    store = TokenStore("docs", TOKENIZER)
    store.ensure(TEXTS, Lookup())
    elsewhere = pickle.dumps(store.open())
    damage(store.open().paths[-1], "cut")
    store.ensure([f"d{i}" for i in range(59, 55, -1)], Lookup())  # the same number, its texts in another order
    same_as_tokenizer(store, list(TEXTS))
    with pytest.raises(DataError, match="No such file"):
        pickle.loads(elsewhere)


def test_interruption_keeps_finished_shards(small_shards):
    store = TokenStore("docs", TOKENIZER)

    def interrupted(ids):
        if "d20" in ids:
            raise KeyboardInterrupt
        return [TEXTS[i] for i in ids]

    with pytest.raises(KeyboardInterrupt):
        store.ensure(TEXTS, interrupted)
    lookup = Lookup()
    assert store.ensure(TEXTS, lookup) == len(TEXTS) - 16
    assert "d15" not in lookup.asked
    same_as_tokenizer(store, list(TEXTS))


def test_leftovers_of_killed_processes_go_away():
    store = TokenStore("docs", TOKENIZER)
    left = store.folder / ".000000-0.shard.x.part"
    left.write_bytes(b"half")
    store.ensure(["d1"], Lookup())
    assert not left.exists()


def fill(folder, tokenizer, ids, results):
    import os

    os.environ["LTR_CACHE"] = folder
    results.put(TokenStore("docs", tokenizer).ensure(ids, Lookup()))


def test_two_processes_at_once_tokenise_everything_once(tmp_path):
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    halves = list(TEXTS)[:40], list(TEXTS)[20:]
    workers = [context.Process(target=fill, args=(str(tmp_path), TOKENIZER, ids, results)) for ids in halves]
    for worker in workers:
        worker.start()
    done = [results.get(timeout=60) for _ in workers]
    for worker in workers:
        worker.join()
    assert sorted(done) in ([20, 40], [20, 40][::-1])
    store = TokenStore("docs", TOKENIZER)
    assert len(store.open()) == len(TEXTS)
    same_as_tokenizer(store, list(TEXTS))


def test_waiting_for_the_lock_is_said(caplog):
    import threading

    from filelock import FileLock

    store = TokenStore("docs", TOKENIZER)
    held, free = threading.Event(), threading.Event()

    def hold():
        with FileLock(str(store.folder / "lock")):
            held.set()
            free.wait(0.3)

    # the lock belongs to a file handle, so that another thread's holder is waited for as another process's would be
    other = threading.Thread(target=hold)
    other.start()
    held.wait()
    assert store.ensure(["d1"], Lookup()) == 1
    other.join()
    assert "waiting for another process" in caplog.text


def test_a_cache_that_cannot_be_written_is_used_where_it_holds_all(monkeypatch):
    store = TokenStore("docs", TOKENIZER)
    store.ensure(["d1", "d2"], Lookup())
    before = {path: path.stat().st_mtime_ns for path in store.folder.iterdir()}

    def refused(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("filelock.FileLock.acquire", refused)
    assert TokenStore("docs", TOKENIZER).ensure(["d2", "d1"], Lookup()) == 0
    same_as_tokenizer(store, ["d2", "d1"])
    told = rf"2 texts are not in {store.folder}, and it cannot be written \(Permission denied\); .* \$LTR_CACHE name"
    with pytest.raises(DataError, match=told):
        TokenStore("docs", TOKENIZER).ensure(["d2", "d3", "d4"], Lookup())
    assert {path: path.stat().st_mtime_ns for path in store.folder.iterdir()} == before
    monkeypatch.setattr("filelock.FileLock.acquire", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        TokenStore("docs", TOKENIZER).ensure(["d1"], Lookup())


def test_tables_travel_to_other_processes(small_shards):
    store = TokenStore("docs", TOKENIZER)
    store.ensure(TEXTS, Lookup())
    table = store.open()
    payload = pickle.dumps(table)
    assert len(payload) < 3000
    copy: TokenTable = pickle.loads(payload)
    rows = np.array([50, 3, 3])
    assert copy.gather(rows).values.tolist() == table.gather(rows).values.tolist()


def test_unknown_id():
    store = TokenStore("docs", TOKENIZER)
    store.ensure(["d1"], Lookup())
    with pytest.raises(DataError, match="2 ids are not tokenised, such as 'd5'; prepare the data first"):
        store.open().rows(["d1", "d5", "d6"])


def test_progress(capsys):
    TokenStore("docs", TOKENIZER).ensure(TEXTS, Lookup(), progress="tokenising documents")
    assert "tokenising documents: 100%" in capsys.readouterr().err


def test_rows_of_many_ids_are_kept(monkeypatch):
    monkeypatch.setattr(token_store, "KEPT", 10)
    store = TokenStore("docs", TOKENIZER)
    ids = list(TEXTS)[::-1]
    store.ensure(ids, Lookup())
    expected = store.open().rows(ids).tolist()
    hashed = []
    monkeypatch.setattr(token_store, "digests", lambda ids: hashed.append(ids) or digests(ids))
    assert TokenStore("docs", TOKENIZER).ensure(ids, Lookup()) == 0
    assert store.open().rows(ids).tolist() == expected
    assert not hashed
    assert store.open().rows(ids[:20]).tolist() == expected[:20], "other ids are looked up"
    (kept,) = store.folder.glob("rows-*")
    kept.write_bytes(b"damaged")
    assert store.open().rows(ids).tolist() == expected


def test_kept_rows_are_those_of_the_ids_and_their_order(monkeypatch):
    monkeypatch.setattr(token_store, "KEPT", 3)
    store = TokenStore("docs", TOKENIZER)
    orders = [["d1", "d2", "d3"], ["d3", "d1", "d2"], ["d1", "d2", "d4"]]
    for ids in orders:
        store.ensure(ids, Lookup())
        same_as_tokenizer(store, ids)
    for ids in orders:
        same_as_tokenizer(store, ids)


def test_rows_and_index_follow_the_shards(small_shards, monkeypatch):
    monkeypatch.setattr(token_store, "KEPT", 10)
    store = TokenStore("docs", TOKENIZER)
    ids = list(TEXTS)
    store.ensure(ids[:20], Lookup())
    damage(store.open().paths[0], "cut")
    store.ensure(ids[10:40], Lookup())
    assert len(list(store.folder.glob("rows-*"))) == len(list(store.folder.glob("index-*"))) == 1
    with pytest.raises(DataError, match="8 ids are not tokenised, such as 'd0'"):
        store.open().rows(ids[:20])
    store.ensure(ids[:20], Lookup())
    same_as_tokenizer(store, ids[:40])


@pytest.mark.parametrize("what", ["index-*", "verified.json"])
@pytest.mark.parametrize("content", [b"", b"[1]", b"damaged"])
def test_what_is_kept_beside_the_shards_may_be_damaged(what, content):
    store = TokenStore("docs", TOKENIZER)
    store.ensure(TEXTS, Lookup())
    (path,) = store.folder.glob(what)
    path.write_bytes(content)
    same_as_tokenizer(store, list(TEXTS))
    assert store.ensure(TEXTS, Lookup()) == 0
    same_as_tokenizer(store, list(TEXTS))


def test_a_checksum_is_compared_once(monkeypatch):
    store = TokenStore("docs", TOKENIZER)
    store.ensure(TEXTS, Lookup())
    compared = []
    original = token_shards.zlib.crc32
    monkeypatch.setattr(token_shards.zlib, "crc32", lambda *given: compared.append(1) or original(*given))
    assert store.ensure(TEXTS, Lookup()) == 0
    assert not compared


def test_ids_that_share_half_a_digest_are_told_apart():
    table = np.array([[3, 7, 7, 7, 9], [1, 1, 2, 3, 1], [4, 0, 3, 1, 2]], np.uint64)
    wanted = np.array([[7, 7, 7, 7, 9, 9, 1, 10], [3, 1, 2, 4, 1, 2, 1, 1]], np.uint64)
    assert Index(table).find(wanted).tolist() == [1, 0, 3, -1, 2, -1, -1, -1]
    assert Index(table[:, :0]).find(wanted).tolist() == [-1] * 8


def test_repeated_ids_that_share_half_a_digest_are_tokenised_once_each(monkeypatch):
    def halves(ids):
        found = digests(ids)
        found[0] = 5
        return found

    monkeypatch.setattr(token_store, "digests", halves)
    store, lookup = TokenStore("docs", TOKENIZER), Lookup()
    assert store.ensure(["d3", "d2", "d3", "d1", "d2"], lookup) == 3
    assert lookup.asked == ["d3", "d2", "d1"]
    same_as_tokenizer(store, ["d1", "d2", "d3"])


def test_texts_are_read_beside_the_tokenizer(small_shards):
    names = set()

    def texts(ids):
        names.add(threading.current_thread().name)
        return [TEXTS[i] for i in ids]

    TokenStore("docs", TOKENIZER).ensure(TEXTS, texts)
    assert threading.main_thread().name not in names


def test_long_texts_are_read_a_few_at_a_time(monkeypatch):
    monkeypatch.setattr(token_store, "READ", 1000)
    monkeypatch.setattr(token_store, "FIRST", 2)
    asked = []

    def texts(ids):
        asked.append(len(ids))
        return ["fox " * (100 if int(i[1:]) < 20 else 1) for i in ids]

    store = TokenStore("docs", TOKENIZER, 2**31)
    ids = [f"d{i}" for i in range(300)]
    assert store.ensure(ids, texts) == 300
    assert asked == [2, *[3] * 7, 231, 46], "a thousand characters are two long texts and a half, or 250 short ones"
    assert store.open().lengths(store.open().rows(ids)).tolist() == [100] * 20 + [1] * 280


def test_a_text_that_cannot_be_read_is_told_as_it_is(small_shards):
    def texts(ids):
        raise DataError(f"no document {ids[0]}")

    with pytest.raises(DataError, match="no document d0"):
        TokenStore("docs", TOKENIZER).ensure(TEXTS, texts)
