"""Shares of a collection's queries."""

import pytest

from ltr.data.collections.collection import load
from ltr.data.collections.shares import share_of, sliced
from ltr.errors import DataError


def test_parts_share_nothing_and_lose_nothing(tiny_folder):
    whole = load(tiny_folder)
    low, high = load(f"{tiny_folder}[:50%]"), load(f"{tiny_folder}[50%:]")
    assert not set(low.queries) & set(high.queries)
    assert set(low.queries) | set(high.queries) == set(whole.qrels)
    assert set(low.qrels) == set(low.queries)
    assert all(low.qrels[q] == whole.qrels[q] for q in low.qrels)


def test_documents_stay_and_signatures_differ(tiny_folder):
    whole, part = load(tiny_folder), load(f"{tiny_folder}[:50%]")
    assert list(part.doc_ids()) == list(whole.doc_ids())
    assert part.docs_signature == whole.docs_signature
    assert part.signature != whole.signature
    assert part.name.endswith("[:50%]")


def test_the_order_of_the_ids_does_not_matter():
    ids = [f"q{i}" for i in range(50)]
    assert share_of(ids, 0.2, 0.4) == share_of(reversed(ids), 0.2, 0.4)
    assert len(share_of(ids, 0.2, 0.4)) == 10


def test_a_name_without_brackets_is_no_share():
    assert sliced("beir/scifact/train") is None


def test_fractions_of_percent():
    assert sliced("x[0.5%:10%]") == ("x", 0.005, 0.1)


@pytest.mark.parametrize("name", ["x[80]", "x[:80]", "x[a:b]"])
def test_malformed_share(name):
    with pytest.raises(DataError, match=r"a share of the queries is written NAME\[:80%\]"):
        sliced(name)


@pytest.mark.parametrize("name", ["x[80%:20%]", "x[50%:50%]", "x[:120%]"])
def test_shares_must_rise(name):
    with pytest.raises(DataError, match=r"the share must rise within 0% to 100%"):
        sliced(name)


def test_empty_share(tiny_folder):
    with pytest.raises(DataError, match=r"this share of \d+ queries is empty"):
        _ = load(f"{tiny_folder}[:1%]").queries
