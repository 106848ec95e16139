"""ranx, the reference: compiled once, by one caller at a time, whatever the size of blocks."""

import logging
import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ltr.io.runs import Run
from ltr.metrics.engine import evaluate
from ltr.metrics.measures import by_ranx
from ltr.metrics.measures.by_ranx import warm_up
from tests.metrics.test_engine import ALL, JUDGED, QRELS, RANKED, RUN


@settings(max_examples=25, deadline=None)
@given(RANKED, JUDGED, st.integers(1, 60))
def test_the_size_of_blocks_does_not_matter(scored, qrels, cells):
    if not set(scored) & set(qrels):
        return
    run = Run.from_dict(scored)
    whole = evaluate(run, qrels, ALL, "ranx")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(by_ranx, "CELLS", cells)
        parts = evaluate(run, qrels, ALL, "ranx")
    for measure in ALL:
        np.testing.assert_array_equal(whole.values[measure], parts.values[measure], err_msg=measure)


def test_warm_up_in_the_background_and_evaluation_at_once():
    warm_up(["mrr", "map"])
    results = []
    threads = [
        threading.Thread(target=lambda: results.append(evaluate(RUN, QRELS, "mrr", "ranx")["mrr"])) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [1.0] * 4


def test_says_that_it_compiles_when_the_first_call_takes_long(monkeypatch, caplog):
    monkeypatch.setattr(by_ranx, "_ready", set())
    monkeypatch.setattr(by_ranx, "PATIENCE", 0.01)
    true = by_ranx._ranx().metrics.reciprocal_rank

    def slow(*args):
        time.sleep(0.2)
        return true(*args)

    monkeypatch.setattr(by_ranx._ranx().metrics, "reciprocal_rank", slow)
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            assert evaluate(RUN, QRELS, "mrr", "ranx")["mrr"] == 1.0
    assert [r.getMessage() for r in caplog.records] == [
        "compiling the measures (once per installation, about two seconds each) ..."
    ]


def test_compiled_measures_are_kept_in_the_cache(tmp_path):
    code = "from ltr.metrics import warm_up; warm_up('hits', background=False)"
    environment = {k: v for k, v in os.environ.items() if k != "NUMBA_CACHE_DIR"} | {"LTR_CACHE": str(tmp_path)}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)
    assert list((tmp_path / "numba").rglob("*.nbc"))
