"""Runs put together from runs keep the order of both, as trec_eval sees it."""

import pytest

from ltr.io.merging import below
from ltr.io.trec import Run


@pytest.mark.parametrize("floor", [0.0, 1e7, -1e7, 2.0**24, -(2.0**24), 3e9, -3e9, 1e30])
def test_what_was_not_reranked_keeps_its_order_below(floor):
    docs = [f"d{i:03}" for i in range(200)]
    first = Run.from_dict({"q": {doc: -float(i) for i, doc in enumerate(docs)}})
    merged = below(Run.from_dict({"q": {"d007": floor}}), first)
    assert merged["q"][0].tolist() == ["d007", *(doc for doc in docs if doc != "d007")]
