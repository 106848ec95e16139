"""Any loss on queries and the documents of a whole batch, given as vectors."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from ltr.errors import DataError, ShapeError
from ltr.links.autograd import widened
from ltr.losses.base import Loss, full_precision
from ltr.losses.engines.row_blocks import BLOCK, Columns, Pair, RowCosts, in_blocks, rows_of, spans
from ltr.losses.running import RunningCenter


def in_batch(
    loss: Loss,
    queries: Tensor,
    docs: Tensor,
    columns: Columns,
    shift: Tensor | None = None,
    weights: Tensor | None = None,
    block: int = BLOCK,
    beside: Sequence[Pair] = (),
) -> tuple[Tensor, Tensor]:
    """A loss on the scores of queries with all documents of a batch, which are the products of their vectors.

    Equals ``loss(queries @ docs.T + shift, labels, mask)``, summed over lists, with labels and mask as ``columns`` say,
    but no matrix of scores is kept: see ``ltr.losses.engines.row_blocks``. Any loss can be taken; softmax losses whose
    targets are positives (``InfoNCE``, ``CompositeSoftmax``, ``SoftmaxCE``) are faster than ``torch``'s own cross-entropy.
    Running centres move once, before the first block.

    Args:
        loss: its own reduction is not used.
        queries: [lists, dim] vectors, times the temperature's inverse where there is one.
        docs: [docs, dim] vectors.
        columns: which documents are compared for each query, and their labels.
        shift: [] what is added to all products.
        weights: [lists] by which costs are multiplied.
        block: scores at once, about; changes time and memory alone.
        beside: more vectors [lists, dim] and [others, dim] whose products stand behind those of queries and documents, as
            further columns.

    Returns:
        The sum of the lists' costs, and how many lists contribute.

    Raises:
        ShapeError: vectors that do not fit.
        DataError: vectors that are not finite, or labels that the loss refuses.
    """
    name = type(loss).__name__
    if queries.dim() != 2 or docs.dim() != 2 or queries.shape[1] != docs.shape[1]:
        raise ShapeError(
            f"{name}: queries and docs must be vectors [lists, dim] and [docs, dim], got {list(queries.shape)} and "
            f"{list(docs.shape)}"
        )
    n_docs = len(docs) + sum(len(others) for _, others in beside)
    if (len(queries), n_docs) != (len(columns), columns.n_docs):
        raise ShapeError(
            f"{name}: columns of {len(columns)} lists and {columns.n_docs} documents need as many vectors, got "
            f"{len(queries)} and {n_docs}"
        )
    for what, vectors in (("queries", queries), ("docs", docs)):
        if not bool(vectors.detach().sum().isfinite()):
            at = int((~vectors.isfinite()).any(1).nonzero()[0]) if bool((~vectors.isfinite()).any()) else 0
            raise DataError(
                f"{name}: vectors must be finite, got NaN or infinite numbers in {what} {at}; lower the rate"
            )
    with full_precision(queries):
        pairs = [(widened(mine), widened(others)) for mine, others in ((queries, docs), *beside)]
        observe(loss, [(mine.detach(), others.detach()) for mine, others in pairs], columns, shift, block)
        costs, scale = row_costs_of(loss)
        if scale != 1:
            pairs = [(mine * scale, others) for mine, others in pairs]
            shift = None if shift is None else shift * scale
        return in_blocks(pairs, columns, costs, shift, weights, block)


def row_costs_of(loss: Loss) -> tuple[RowCosts, float]:
    """(a loss's costs of blocks of rows, what scores are multiplied by before).

    Those that a class defines belong to its costs: a class derived from it that defines other costs has them by autograd.
    """
    classes = type(loss).__mro__
    home = next(made for made in classes if "row_costs" in vars(made))
    nearer = classes[: classes.index(home)]
    if any(name in vars(made) for made in nearer for name in ("costs", "counted")):
        return partial(Loss.row_costs, loss), 1.0
    return loss.row_costs, loss.row_scale


@torch.no_grad()
def observe(loss: Loss, pairs: Sequence[Pair], columns: Columns, shift: Tensor | None, block: int) -> None:
    """Let running centres see the scores once."""
    centers = [part for part in loss.children() if isinstance(part, RunningCenter) and part.training]
    if not centers:
        return
    if all(center.of == "positives" for center in centers):
        scores = own_scores(*pairs[0], columns, shift)
        for center in centers:
            center.observe(scores[None], labels=columns.labels[None])
        return
    for center in centers:
        quantiles = [
            rows.scores.masked_fill(~rows.mask, torch.nan).nanquantile(center.quantile, dim=1)
            for rows in (rows_of(pairs, shift, columns, *span) for span in spans(columns, block))
        ]
        center.move(torch.cat(quantiles).mean(), len(columns) * columns.n_docs)


def own_scores(queries: Tensor, docs: Tensor, columns: Columns, shift: Tensor | None) -> Tensor:
    """[entries] scores of the lists' own documents."""
    owners = torch.arange(len(columns), device=queries.device).repeat_interleave(columns.list_offsets.diff())
    found = (queries[owners] * docs[columns.places]).sum(-1)
    return found if shift is None else found + shift
