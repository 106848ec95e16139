"""The one loop that scores batches, for validation, reranking and the command line."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import nn

from ltr.batch import Lists
from ltr.errors import ConfigError, DataError
from ltr.io.trec import Run
from ltr.machine.forks import across_forks
from ltr.machine.freed_memory import settle
from ltr.machine.loudness import shows_bars
from ltr.machine.threads import unforked
from ltr.scorers.base import Scorer
from ltr.scorers.cpu.cross_encoder import FusedCrossEncoder
from ltr.scorers.out_of_memory import is_out_of_memory, released

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Scored:
    """The scores of one list.

    Attributes:
        query_id: of the list.
        doc_ids: of its documents, in the order in which they came.
        scores: [docs] float32, in the same order.
    """

    query_id: str
    doc_ids: list[str]
    scores: np.ndarray


def device_of(name: str | torch.device = "auto") -> torch.device:
    """The device of a name; ``auto`` takes a GPU where there is one.

    Raises:
        ConfigError: an unknown device, or one that this machine does not have.
    """
    if str(name) == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ConfigError(f"device: {name!r} is not available here ({reason}); use auto or cpu") from error
    return device


def prepared(scorer: Scorer, device: str | torch.device = "auto", precision: str | None = "auto") -> Scorer:
    """The scorer on a device and in a precision, made for scoring; a copy where it is not there already.

    On a CPU a cross-encoder becomes a ``FusedCrossEncoder`` where its architecture is known: same scores, fewer
    operations.

    Args:
        scorer: left as it is.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:1`` …
        precision: ``32`` is exact; ``bf16`` runs the encoder in bfloat16 and the head in float32 (about twice as fast
            where the hardware multiplies bfloat16; scores move in the third digit); ``auto`` is bf16 on such hardware
            and 32 elsewhere; None moves the scorer to the device and otherwise takes it as it is.
    """
    if precision not in (None, "auto", "32", "bf16"):
        raise ConfigError(f"precision must be auto, 32 or bf16, got {precision!r}")
    if isinstance(scorer, FusedCrossEncoder) and str(device) == "auto":
        device = "cpu"  # where it was made, whatever else the machine has
    return scorer.for_scoring(device_of(device), precision)


def score(
    scorer: Scorer,
    batches: Iterable[Lists],
    device: str | torch.device = "auto",
    precision: str | None = "auto",
    progress: str | None = None,
    total: int | None = None,
    window: int | None = None,
) -> Iterator[Scored]:
    """Score batches; gives one ``Scored`` per list, in the order in which lists come.

    Batches are put together to windows, so that documents of similar length from many queries run together. A window
    that does not fit into memory is computed in smaller pieces, and so are those behind it. The scorer is in evaluation
    mode meanwhile, as long as any thread scores with it, and otherwise nothing in it changes.

    Args:
        scorer: any scorer.
        batches: of its kind.
        device: see ``prepared``.
        precision: see ``prepared``.
        progress: a name shows a progress bar under that name; where no terminal would draw it, a line every 20 seconds.
        total: number of lists to come, for the progress bar or lines.
        window: tokens (or documents, for batches without tokens) put together; None takes 2^15 on a CPU and 2^19
            elsewhere.

    Raises:
        DataError: a score that is not finite, naming query and document; all other lists of its window come before.
    """
    with evaluating(scorer):
        working = unforked(partial(prepared, scorer, device, precision))
        place = next((p.device for p in working.parameters()), torch.device("cpu"))
        size = window or (2**15 if place.type == "cpu" else 2**19)
        tokens: int | None = None
        with _bar(progress, total) as bar:
            for parts in grouped(batches, size):
                batch, scores, tokens = unforked(partial(_computed, working, parts, place, tokens))
                yield from _lists(batch, scores)
                bar.update(len(batch))
    settle()


@dataclass
class _Scoring:
    """How many threads score with a scorer, and the modes of all its modules before the first of them."""

    threads: int
    modes: list[tuple[nn.Module, bool]]


_scoring: WeakKeyDictionary[nn.Module, _Scoring] = WeakKeyDictionary()
_lock = across_forks(threading.Lock())


@contextlib.contextmanager
def evaluating(scorer: nn.Module) -> Iterator[None]:
    """Evaluation mode, from the first thread that asks for it to the last; then every module is in its own again."""
    with _lock:
        held = _scoring.get(scorer)
        if held is None:
            held = _scoring[scorer] = _Scoring(0, [(module, module.training) for module in scorer.modules()])
            if any(training for _, training in held.modes):
                scorer.eval()
        held.threads += 1
    try:
        yield
    finally:
        with _lock:
            held.threads -= 1
            if not held.threads:
                del _scoring[scorer]
                if any(training for _, training in held.modes):
                    scorer.train(held.modes[0][1])
                    for module, training in held.modes:  # a part that was frozen in evaluation mode stays so
                        module.training = training


def score_run(scorer: Scorer, batches: Iterable[Lists], name: str = "run", **options: Any) -> Run:
    """Score batches and sort each query's documents by score; ``options`` are those of ``score``."""
    results = {
        one.query_id: dict(zip(one.doc_ids, one.scores.tolist(), strict=True))
        for one in score(scorer, batches, **options)
    }
    return Run.from_dict(results, name)


def grouped(batches: Iterable[Lists], size: int) -> Iterator[list[Lists]]:
    """Neighbouring batches that together hold ``size`` tokens (or documents)."""
    held: list[Lists] = []
    for batch in batches:
        held.append(batch)
        if sum(one.size for one in held) >= size:
            yield held
            held = []
    if held:
        yield held


def _computed(
    scorer: Scorer, parts: list[Lists], place: torch.device, tokens: int | None
) -> tuple[Lists, np.ndarray, int | None]:
    """(a window, its scores, how many tokens at once memory holds: None for as many as the scorer takes by itself).

    When memory runs out, smaller and smaller micro-batches are tried.
    """
    batch = Lists.cat(parts)
    moved = batch.to(place)
    while True:
        try:
            with torch.inference_mode():
                scores = scorer(moved) if tokens is None else scorer(moved, tokens)
                return batch, scores.float().cpu().numpy(), tokens
        except (RuntimeError, MemoryError) as error:
            fewer = scorer.fewer_tokens(tokens) if is_out_of_memory(error) else None
            if fewer is None:
                raise
            tokens = fewer
            log.warning("out of memory: scoring goes on with %d tokens at once", tokens)
        released()


def _lists(batch: Lists, scores: np.ndarray) -> Iterator[Scored]:
    if len(batch.query_ids) != len(batch) or len(batch.doc_ids) != batch.n_docs:
        raise DataError(
            f"scoring: a batch needs ids of its {len(batch)} lists and {batch.n_docs} documents, got "
            f"{len(batch.query_ids)} and {len(batch.doc_ids)}"
        )
    offsets = batch.list_offsets.tolist()
    failed: list[str] = []
    for i, (start, stop) in enumerate(pairwise(offsets)):
        own = scores[i, : stop - start]
        if not np.isfinite(own).all():
            at = int(np.flatnonzero(~np.isfinite(own))[0])
            failed.append(
                f"query {batch.query_ids[i]}, document {batch.doc_ids[start + at]}: the model's score is {own[at]}"
            )
            continue
        yield Scored(batch.query_ids[i], batch.doc_ids[start:stop], own)
    if failed:
        more = f" ({len(failed) - 1} more of {len(batch)} queries have such scores)" if len(failed) > 1 else ""
        raise DataError(
            f"scoring: {failed[0]}; it was damaged in training or overflows in this precision: try precision 32{more}"
        )


def _bar(progress: str | None, total: int | None) -> Any:
    from tqdm.auto import tqdm

    if progress is not None and not shows_bars():
        return _ProgressLines(progress, total)
    return tqdm(total=total, desc=progress, unit=" queries", disable=progress is None, smoothing=0.1)


class _ProgressLines(contextlib.AbstractContextManager):
    """In place of a bar, which would fill a file or a pipe: a line every 20 seconds.

    Args:
        name: of what is scored.
        total: number of lists to come, where that is known.
    """

    #: seconds from line to line
    every = 20.0

    def __init__(self, name: str, total: int | None):
        self._name, self._of, self._done = name, "" if total is None else f" of {total:,}", 0
        self._due = time.monotonic() + self.every

    def update(self, n: int) -> None:
        """``n`` more lists are scored."""
        self._done += n
        if time.monotonic() >= self._due:
            self._due = time.monotonic() + self.every
            log.info("%s: %s%s queries scored", self._name, f"{self._done:,}", self._of)

    def __exit__(self, *_: object) -> None:
        pass
