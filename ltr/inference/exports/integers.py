"""Making a faster model of a trained one: products on 8-bit integers where they do no harm, checked on other queries."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from ltr.batch import TextLists
from ltr.data.tokens.pairs import PairTemplate
from ltr.errors import ConfigError, DataError, LtrError
from ltr.inference.exports.place import CARD, check_place, describe
from ltr.inference.reranker import Reranker
from ltr.inference.scoring import Scored, score
from ltr.io.files import building
from ltr.io.trec import Qrels, Run
from ltr.scorers.base import Scorer
from ltr.scorers.cpu.cross_encoder import FusedCrossEncoder, activation_of, fused, unknown
from ltr.scorers.cpu.quantisation_choice import kept, quantised_products, recorded
from ltr.scorers.cpu.quantised import (
    FILE,
    PRODUCTS,
    Outliers,
    QuantisedProduct,
    Tensors,
    careful,
    is_quantised,
    places,
    state_of,
    with_products,
    working,
)
from ltr.scorers.text.cross_encoder import CrossEncoder

#: lists on which each product is tried alone; there are as many trials as products
HARM_LISTS = 5
#: (layer, product)
Place = tuple[int, str]
#: wraps what takes long, under a name, for a progress bar
Show = Callable[[Iterable, str], Iterable]


@dataclass(frozen=True)
class Tolerance:
    """What an export may change; see ``Check`` for the figures.

    Args:
        min_tau: least mean Kendall correlation of the scores of a query, in (-1, 1].
        max_ndcg_change: largest change of nDCG@10, at least 0.

    Raises:
        ConfigError: a bound outside its range.
    """

    min_tau: float = 0.97
    max_ndcg_change: float = 0.002

    def __post_init__(self):
        if not -1 < self.min_tau <= 1 or not self.max_ndcg_change >= 0:
            raise ConfigError(
                "Tolerance: min_tau must be in (-1, 1] and max_ndcg_change at least 0, got "
                f"{self.min_tau} and {self.max_ndcg_change}"
            )


@dataclass(frozen=True)
class Check:
    """What an export changed, on queries that nothing was chosen on.

    Attributes:
        queries, docs: how many were scored.
        judged: how many of the queries have judgements.
        tau: mean over queries of Kendall's tau-b between the scores before and after.
        largest: largest difference of a score.
        spread: standard deviation of the exact scores, to compare that with.
        ndcg, exact_ndcg: nDCG@10 after and before, over the judged queries among them; None where none is judged.
        speedup: documents per second against the exact model on the same texts, without tokenisation.
        kept: products that stay in higher precision.
        products: how many could be on 8 bits.
        careful: layers, from the first, in which queries are computed in higher precision.
    """

    queries: int
    docs: int
    judged: int
    tau: float
    largest: float
    spread: float
    ndcg: float | None
    exact_ndcg: float | None
    speedup: float
    kept: tuple[str, ...]
    products: int
    careful: int = 0

    def misses(self, tolerance: Tolerance) -> list[str]:
        """What is not within a tolerance, with the figures."""
        misses = []
        if not self.tau >= tolerance.min_tau:
            misses.append(f"Kendall's tau is {self.tau:.4f}, wanted at least {tolerance.min_tau}")
        if self.ndcg is not None and self.exact_ndcg is not None:
            change = abs(self.ndcg - self.exact_ndcg)
            if not change <= tolerance.max_ndcg_change:
                misses.append(
                    f"nDCG@10 goes from {self.exact_ndcg:.4f} to {self.ndcg:.4f}, wanted a change of at most "
                    f"{tolerance.max_ndcg_change}"
                )
        if len(self.kept) == self.products:
            misses.append("every product had to stay in bfloat16, so that nothing is faster than with precision bf16")
        return misses


@dataclass
class Export:
    """A model on 8-bit integers, ready to be checked and written.

    Attributes:
        exact: the reranker that it was made from, in float32.
        scorer: the quantised one.
        products: what it is made of.
        kept: the products that stay in bfloat16.
        careful: layers, from the first, in which queries are computed in bfloat16.
    """

    exact: Reranker
    scorer: FusedCrossEncoder
    products: list[dict[str, Tensors]]
    kept: tuple[str, ...]
    careful: int

    def write(self, folder: str | Path, check: Check, tolerance: Tolerance, card: bytes = b"") -> None:
        """Write a folder that ``Reranker.load`` opens; an earlier export there is replaced at the end.

        Args:
            folder: to write.
            check: what came of it.
            tolerance: what may change.
            card: the folder's README.md; empty for none.

        Raises:
            LtrError: the check misses the tolerance; nothing is written.
            ConfigError: something else is there, or beside an earlier export.
            DataError: the place cannot be written.
        """
        from safetensors.torch import save_file

        check_place(folder, self.exact)
        missed = check.misses(tolerance)
        if missed:
            raise LtrError(
                f"export refused, nothing was written: {'; '.join(missed)} (on {check.queries} queries that nothing was "
                "chosen on); allow more, keep the model as it is (precision bf16), or check on more queries"
            )
        eps = self.scorer.layers[0].eps
        state, told = state_of(self.scorer, self.products, eps)
        with building(Path(folder)) as beside:
            save_file(state, beside / FILE, metadata=told)
            describe(self.exact, self.scorer.model.config, beside)
            if card:
                (beside / CARD).write_bytes(card)


def opened(model: str, max_length: int | None = None) -> Reranker:
    """The trained model in float32, to be exported.

    Raises:
        ConfigError: it cannot be opened, or is an export itself.
    """
    if (Path(model) / FILE).is_file():
        raise ConfigError(f"export: {model} is an export already; give the model that it was made from")
    return Reranker.load(model, "cpu", "32", max_length=max_length)


def quantise(exact: Reranker, lists: Sequence[TextLists], tolerance: Tolerance, show: Show) -> Export:
    """Quantise a trained cross-encoder, keeping what harms most in bfloat16 until scores agree well enough.

    First the tokens of queries, in more and more layers from the first on: they are few. Then whole products, ordered by
    what each alone does to the scores, for what it saves. The least is kept with which the calibration lists are well within
    the tolerance in tau (a tenth of what it allows is left for other queries). nDCG is not looked at here, only in the check.

    Args:
        exact: see ``opened``.
        lists: batches of one list each, to calibrate on.
        tolerance: what may change.
        show: see ``Show``.

    Raises:
        ConfigError: an architecture whose layers ltr does not know.
    """
    source = CrossEncoder(exact.source).model
    full, base = (fused(source, dtype, exact.source) for dtype in (torch.float32, working()))
    if full is None or base is None:
        raise ConfigError(f"export: {exact.source} cannot be quantised: {unknown(source)}")
    wanted = _scores(full, lists)
    inputs = recorded(full, lists)
    whole = quantised_products(source, inputs, lambda layers: show(layers, "quantising"))
    order = _most_harmful(base, whole, lists[:HARM_LISTS], wanted[:HARM_LISTS], show)
    floats = kept(source)
    goal = tolerance.min_tau + (1 - tolerance.min_tau) / 10

    separator = _separator(exact)
    layers = 0 if separator is None else len(whole) - 1

    def made(step: int) -> tuple[FusedCrossEncoder, list[dict[str, Tensors]]]:
        held = set(order[: max(0, step - layers)])
        products = [
            {
                name: _product(whole[i][name], floats[i][name], (i, name) in held, i < min(step, layers))
                for name in PRODUCTS
            }
            for i in range(len(whole))
        ]
        return with_products(full, products, activation_of(source), separator if step else None), products

    low, high = 0, layers + len(order)
    while low < high:
        middle = (low + high) // 2
        fits = agreement(wanted, _scores(made(middle)[0], lists)) >= goal
        low, high = (low, middle) if fits else (middle + 1, high)
    scorer, products = made(low)
    held = sorted(order[: max(0, low - layers)], key=lambda p: (p[0], PRODUCTS.index(p[1])))
    return Export(exact, scorer, products, tuple(f"layer {i} {name}" for i, name in held), min(low, layers))


def _separator(exact: Reranker) -> int | None:
    """The token id that stands behind a query and not before it; None where no token does."""
    template = PairTemplate.of(exact.tokenizer)
    return next((token for token in template.between if token not in template.before), None)


def _product(quantised: Tensors, plain: Tensors, held: bool, with_queries: bool) -> Tensors:
    if held or not is_quantised(quantised):
        return plain
    return careful(quantised, plain) if with_queries else quantised


def check(export: Export, lists: Sequence[TextLists], qrels: Qrels | None, show: Show) -> Check:
    """Score other queries with both models; see ``Check``."""
    for scorer in (export.exact.scorer, export.scorer):
        _scored(scorer, lists[:1])  # what a first pass sets up is no part of the speed
    clock = time.perf_counter()
    before = _scored(export.exact.scorer, show(lists, "checking: exact"))
    middle = time.perf_counter()
    after = _scored(export.scorer, show(lists, "checking: 8 bits"))
    end = time.perf_counter()
    judged = {one.query_id for one in before} & set(qrels or {})
    flat = [np.concatenate([one.scores for one in side]) for side in (before, after)]
    return Check(
        len(before), len(flat[0]), len(judged),
        agreement([one.scores for one in before], [one.scores for one in after]),
        float(np.abs(flat[0] - flat[1]).max()), float(flat[0].std()),
        _ndcg(after, judged, qrels), _ndcg(before, judged, qrels),
        (middle - clock) / (end - middle), export.kept, len(places(len(export.products))), export.careful,
    )  # fmt: skip


def agreement(one: Sequence[np.ndarray], other: Sequence[np.ndarray]) -> float:
    """Mean over lists of Kendall's tau-b; lists of one document or of equal scores say nothing and are left out.

    >>> round(agreement([np.array([1.0, 2.0, 3.0])], [np.array([1.0, 3.0, 2.0])]), 3)
    0.333

    Raises:
        DataError: when no list is left.
    """
    from scipy.stats import kendalltau

    told = [(a, b) for a, b in zip(one, other, strict=True) if len(a) > 1 and np.ptp(a) > 0]
    if not told:
        raise DataError("export: no query has two documents with different scores; take candidates of more depth")
    # scores that became equal all over do not agree with anything
    return float(np.mean([0.0 if np.ptp(b) == 0 else kendalltau(a, b).statistic for a, b in told]))


def _most_harmful(
    base: FusedCrossEncoder, whole: list[dict[str, Tensors]], lists: Sequence[TextLists], wanted: Sequence, show: Show
) -> list[Place]:
    """Products by the squared error of the scores that each alone makes, divided by what it costs in bfloat16."""
    harm: dict[Place, float] = {}
    expected = np.concatenate(wanted)
    for i, name in show(places(len(whole)), "which products harm"):
        layers = list(base.layers)
        tensors = whole[i][name]
        dtype = torch.float32 if name == "narrow" else working()
        activation = activation_of(base.model)
        made = QuantisedProduct(tensors, activation if name == "widen" else None, dtype)
        beside = Outliers(tensors, activation) if name == "narrow" else None
        layers[i] = replace(layers[i], beside=beside, **{name: made})
        scores = _scores(FusedCrossEncoder(base.model, layers, "mixed", base.source), lists)
        harm[i, name] = float(np.square(np.concatenate(scores) - expected).mean()) / tensors["weight"].numel()
    return sorted(harm, key=lambda place: -harm[place])


def _scored(scorer: Scorer, lists: Iterable[TextLists]) -> list[Scored]:
    return list(score(scorer, lists, "cpu", None))


def _scores(scorer: Scorer, lists: Iterable[TextLists]) -> list[np.ndarray]:
    return [one.scores for one in _scored(scorer, lists)]


def _ndcg(scored: list[Scored], judged: set[str], qrels: Qrels | None) -> float | None:
    if not judged or qrels is None:
        return None
    from ltr.metrics import evaluate

    run = Run.from_dict(
        {
            one.query_id: dict(zip(one.doc_ids, one.scores.tolist(), strict=True))
            for one in scored
            if one.query_id in judged
        }
    )
    return evaluate(run, {query: qrels[query] for query in judged}, "ndcg@10").means["ndcg@10"]
