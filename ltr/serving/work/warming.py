"""A model's first steps, before any client sees it: code for its shapes is made, and its pace is known."""

from __future__ import annotations

from itertools import cycle, islice

from ltr.errors import ConfigError
from ltr.serving.problems import Problem
from ltr.serving.request import Request
from ltr.serving.work.engine import Engine
from ltr.serving.work.models import Model
from ltr.serving.work.order import Job

#: words of the texts, and their number in each text
TEXT = "a model that was trained to rank reads the question and the document together and says how well they fit"
LENGTHS = (4, 16, 64, 128)
#: before all that clients send
FIRST = -(2**40)


def warm_up(engine: Engine, model: Model) -> None:
    """Let every worker compute texts of several lengths; where nothing has been computed before, the pace is taken from the second time.

    Raises:
        ConfigError: the model cannot score them.
    """
    texts = tuple(" ".join(islice(cycle(TEXT.split()), n)) for n in LENGTHS for _ in range(2))
    encoded = model.reading(Request(("how well does it fit",), (texts,)))
    fresh = not engine.pace.known
    for _ in range(2):
        jobs = [Job(model, encoded, FIRST) for _ in range(engine.workers)]
        for job in jobs:
            engine.submit(job, at_once=True)
        try:
            for job in jobs:
                job.future.result()
        except Problem as problem:
            raise ConfigError(f"serve: {model.folder} cannot be served: {problem}") from problem
        if fresh:
            engine.pace.forget()  # the first time holds what is done once alone
            fresh = False
