"""What a batch costs: by the scores of its lists, or by those of all its documents for each of its queries."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor

from ltr.batch import DIRECTIONS, QUERY_TO_DOC, Lists, TextLists, TwinLists
from ltr.errors import ConfigError
from ltr.losses.base import Loss
from ltr.losses.engines.row_blocks import Columns
from ltr.losses.in_batch import in_batch, own_scores
from ltr.losses.pair_loss import PairLoss
from ltr.losses.running import RunningCenter, dead_share, held, transform_of
from ltr.scorers.base import Scorer
from ltr.scorers.causal.token_student import TokenStudent
from ltr.scorers.retrievers.base import Retriever
from ltr.scorers.retrievers.vectors import VectorScorer
from ltr.training.in_batch import columns_of, first_positives, gathered, gathered_docs, widened_columns
from ltr.training.scored import labels_of


@dataclass(frozen=True, eq=False)
class Cost:
    """The cost of a batch.

    Attributes:
        total: of all lists, with gradient.
        count: lists that contribute.
        dead: share of the scores at which the loss's link hardly moves; None for a loss without one.
        level: mean score of the positives, where lists are compared with the documents of a whole batch; else None.
        scores: [lists, docs] where they are not; else None.
    """

    total: Tensor
    count: Tensor
    dead: Tensor | None
    level: Tensor | None = None
    scores: Tensor | None = None


def cost_of(scorer: Scorer, loss: Loss, batch: Lists, progress: float = 0.0) -> Cost:
    """What a batch costs.

    Args:
        scorer: in training mode.
        loss: with reduction ``none``.
        batch: with labels.
        progress: share of the training that is done, for what a scorer adds to its cost by a schedule.

    Raises:
        ConfigError: a scorer whose scores are not [lists, docs].
    """
    if isinstance(batch, TwinLists) and batch.in_batch and isinstance(scorer, Retriever):
        return _in_batch(scorer, loss, batch, progress)
    if isinstance(batch, TextLists) and isinstance(scorer, TokenStudent):
        return _by_tokens(scorer, loss, batch)
    labels, mask = batch.pad(labels_of(batch)), batch.mask
    several, penalty = _of_lists(scorer, batch, progress)
    totals = [_cost(scorer, loss, several[0], labels, mask, batch)]
    with held(loss):  # which have seen the scores of whole vectors
        totals += [_cost(scorer, loss, scores, labels, mask, batch) for scores in several[1:]]
    total = torch.stack(totals).mean()
    count = loss.contributes(labels, mask).sum()
    total = total if penalty is None else total + penalty * count
    return Cost(total, count, dead_share(loss, several[0], mask), scores=several[0])


def _of_lists(scorer: Scorer, batch: Lists, progress: float) -> tuple[Sequence[Tensor], Tensor | None]:
    """(the scores that are trained, what is added to the mean cost) of lists that are compared by themselves."""
    if not (isinstance(scorer, VectorScorer) and isinstance(batch, TwinLists) and scorer.penalised):
        return scorer.trained_scores(batch), None
    queries, docs = scorer.encode_queries(batch.queries), scorer.encode_docs(batch.docs)
    return scorer.scores_at_widths(queries, docs, batch), scorer.penalty(gathered(queries), gathered(docs), progress)


def _cost(scorer: Scorer, loss: Loss, scores: Tensor, labels: Tensor, mask: Tensor, batch: Lists) -> Tensor:
    if not isinstance(scores, Tensor) or scores.shape != mask.shape:
        given = list(scores.shape) if isinstance(scores, Tensor) else type(scores).__name__
        raise ConfigError(
            f"{type(scorer).__name__}: forward must return scores [lists, docs] {list(mask.shape)}, such as "
            f"batch.scores(values) of a value for each row, got {given}"
        )
    return loss(scores, labels, mask, batch.weights).sum()


def _by_tokens(scorer: TokenStudent, loss: Loss, batch: TextLists) -> Cost:
    """Every token of a completion is a list whose documents are the vocabulary."""
    if isinstance(loss, PairLoss):
        raise ConfigError(
            f"{type(loss).__name__}: a student of tokens compares distributions over a vocabulary, whose pairs are too many "
            "to be compared; take ltr.losses.CompositeSoftmax, KLDistillation or Matching"
        )
    if any(isinstance(part, RunningCenter) for part in loss.children()):
        # costs are computed some tokens at a time, and again for the gradient: it would move in between
        raise ConfigError(
            f"{type(loss).__name__}: a student of tokens needs a link whose center stands still, got {transform_of(loss)!r}; "
            "scores are log-probabilities, whose level means the same at every token: say it, such as Softplus(center=-3.0)"
        )

    def cost(scores: Tensor, labels: Tensor) -> Tensor:
        mask = torch.ones_like(scores, dtype=torch.bool)
        if not bool(loss.contributes(labels, mask).all()):
            raise ConfigError(
                f"{type(loss).__name__}: a student of tokens has a teacher's log-probabilities for labels, none above 0, of "
                "which this loss learns nothing; take ltr.losses.CompositeSoftmax, KLDistillation or Matching"
            )
        return loss(scores, labels, mask)

    costs = scorer.token_costs(batch, cost)
    return Cost(costs.sum(), torch.tensor(len(costs), device=costs.device), None)


def _in_batch(scorer: Retriever, loss: Loss, batch: TwinLists, progress: float) -> Cost:
    queries, mine = scorer.encode_queries(batch.queries), scorer.encode_docs(batch.docs)
    assert batch.keys is not None
    docs, keys = gathered_docs(mine, batch.keys)
    columns = columns_of(batch, keys)
    parts = scorer.products(queries, docs)
    if parts is None and batch.directions != QUERY_TO_DOC:
        raise ConfigError(
            f"{type(scorer).__name__}: its scores are no products of vectors, and sampling.directions other than query_to_doc "
            "need such; leave directions out"
        )
    if parts is None:
        own = _dense(scorer, loss, queries, docs, columns, batch)
        total, count, dead, level = own.total, own.count, own.dead, own.level
    else:
        pairs, whole = _beside(batch, queries, docs, columns)
        others = [scorer.products(mine, theirs) or [] for mine, theirs in pairs]
        costs = []
        for at, part in enumerate(parts):
            with held(loss) if at else nullcontext():  # whole vectors come first
                beside = [pair[at][:2] for pair in others]
                costs.append(in_batch(loss, *part[:2], whole, part.shift, batch.weights, beside=beside))
        total, count = torch.stack([total for total, _ in costs]).mean(), costs[0][1]
        scores = own_scores(parts[0].queries.detach(), parts[0].docs.detach(), columns, parts[0].shift).detach()
        # the negatives of a whole batch may lie wherever they like: what must move are the positives
        positive = columns.labels > 0
        dead, level = dead_share(loss, scores[None], positive[None]), _mean(scores, positive)
    penalty = scorer.penalty(gathered(queries), docs, progress)
    return Cost(total if penalty is None else total + penalty * count, count, dead, level)


def _beside(
    batch: TwinLists, queries: Tensor, docs: Tensor, columns: Columns
) -> tuple[list[tuple[Tensor, Tensor]], Columns]:
    """(vectors that are compared beside queries and documents, what is compared in all)."""
    others = [one for one in DIRECTIONS[1:] if one in batch.directions]
    if not others:
        return [], columns
    first = first_positives(columns)
    every, positives = gathered(queries), docs[first]
    pairs = {"query_to_query": (queries, every), "doc_to_query": (positives, every), "doc_to_doc": (positives, docs)}
    chosen = [pairs[one] for one in others]
    sizes = [len(theirs) for _, theirs in chosen]
    return chosen, widened_columns(batch, columns, first, sizes, [one == "doc_to_doc" for one in others])


def _dense(scorer: Retriever, loss: Loss, queries: Tensor, docs: Tensor, columns: Columns, batch: TwinLists) -> Cost:
    """By all scores of queries and documents, for scores that are no products of two vectors."""
    every = torch.arange(len(docs), device=docs.device)
    owners = torch.arange(len(queries), device=docs.device).repeat_interleave(len(docs))
    scores = scorer.scores_of(queries, docs, owners, every.repeat(len(queries))).view(len(queries), len(docs))
    labels, mask = columns.dense()
    total = loss(scores, labels, mask, batch.weights).sum()
    positive = mask & (labels > 0)
    count = loss.contributes(labels, mask).sum()
    return Cost(total, count, dead_share(loss, scores, positive), _mean(scores.detach(), positive))


def _mean(scores: Tensor, chosen: Tensor) -> Tensor | None:
    """The mean of the chosen scores; None where there are none."""
    return scores[chosen].mean() if bool(chosen.any()) else None
