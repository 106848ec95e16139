"""The service without HTTP: what becomes of a body in the engine, and of what nobody waits for."""

from __future__ import annotations

import asyncio
import json
import time

import numpy as np
import pytest

from ltr.inference.probability import Sigmoid
from ltr.serving.dialects.base import Answer, Asked
from ltr.serving.dialects.choice import ADDRESSES
from ltr.serving.keys import Keys
from ltr.serving.request import Request, Result
from ltr.serving.service import Refused
from ltr.serving.work.order import Job
from tests.serving.wires import WIRES

every = pytest.mark.parametrize("wire", WIRES, ids=lambda w: f"{w.name} at {w.path}")


@pytest.fixture
def held(service, monkeypatch) -> list[Job]:
    """The jobs that the engine gets, and never computes."""
    jobs: list[Job] = []
    monkeypatch.setattr(service.engine, "submit", jobs.append)
    return jobs


def refused(service, wire, deadline=None, stays: float = 60.0, **more) -> int:
    """The status that a client gets which stays for some seconds."""
    body = json.dumps({**wire.fields("q", ["a", "b"]), **more}).encode()
    with pytest.raises(Refused) as caught:
        asyncio.run(service.answer(ADDRESSES[wire.path], body, deadline, lambda: asyncio.sleep(stays)))
    assert caught.value.dialect.name == wire.name
    return caught.value.problem.status


@every
def test_what_a_client_that_left_asked_for_is_given_up_and_its_priority_was_known(wire, service, held):
    assert refused(service, wire, stays=0, priority=-7) == 499
    assert [job.priority for job in held] == [-7]
    assert all(job.future.cancelled() for job in held)


@every
def test_what_a_deadline_ended_is_given_up_and_the_engine_knew_it(wire, service, held):
    deadline = time.monotonic() + 0.05
    assert refused(service, wire, deadline) == 504
    assert [job.deadline for job in held] == [deadline]
    assert all(job.future.cancelled() for job in held)


def test_keys_change_with_the_models(service, monkeypatch, tmp_path):
    file = tmp_path / "keys"
    file.write_text("old")
    monkeypatch.setattr(service, "keys", Keys(file))
    monkeypatch.setattr(service.models, "load", lambda: None)
    file.write_text("new")
    service.reload()
    assert [service.keys.allow(f"Bearer {key}") for key in ("old", "new")] == [False, True]
    file.write_text("# none")
    service.reload()  # a line of the log, and the keys from before go on
    assert service.keys.allow("Bearer new")


@pytest.mark.parametrize("near", [0.0, 1e-30, 1.0, 20.0, 88.0, 3e38, -20.0, -800.0])
def test_neighbouring_scores_stay_apart_and_in_order_in_the_text_of_an_answer(near):
    low = np.float32(near)
    raw = np.array([low, np.nextafter(low, np.float32(np.inf)), np.nextafter(low, np.float32(-np.inf))], np.float32)
    asked = Asked(Request(("q",), (("a", "b", "c"),)))
    result = Result("demo", raw, Sigmoid()(raw), 3, np.zeros(3, bool), 0, 20, 0.0, 0.0, 0.0)
    for wire in WIRES:
        dialect = next(one for one in ADDRESSES[wire.path].dialects if one.name == wire.name)
        found = wire.results(json.loads(json.dumps(dialect.write(Answer.of(asked, result)))))
        by_index = {one.index: one.score for one in found}
        assert by_index[1] > by_index[0] > by_index[2]
        assert [one.index for one in found] == ([1, 0, 2] if wire.ranked else [0, 1, 2])
