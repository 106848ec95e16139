"""Choosing how each product of an encoder is quantised, from what flows through it on real pairs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ltr.batch import TextLists
from ltr.scorers.cpu.cross_encoder import FusedCrossEncoder, heads_of, parts_of
from ltr.scorers.cpu.layers import FirstTokens, joint
from ltr.scorers.cpu.quantised import Tensors, places

#: about how many rows of each product's input are kept
ROWS = 2048
#: how much of the columns' outliers the weights take up, from nothing to nearly all
SMOOTHING = (0.0, 0.5, 0.75, 0.9)
#: columns between the two products of a feed-forward that are computed apart
OUTLIERS = 16


class Recorder:
    """Computes as a product does, and keeps some rows of everything that comes in.

    Args:
        product: what it stands for.
        share: rows to keep each time.
    """

    def __init__(self, product: Callable[[Tensor], Tensor], share: int):
        self.product, self.share = product, share
        self.rows: list[Tensor] = []

    def __call__(self, x: Tensor) -> Tensor:
        # over the whole of it but what spare_rows puts behind the documents
        taken = x[: len(x) * 31 // 32] if len(x) > 32 else x
        self.rows.append(taken[:: max(1, len(taken) // self.share)][: self.share].float().clone())
        return self.product(x)


def recorded(scorer: FusedCrossEncoder, batches: Sequence[TextLists]) -> list[dict[str, Tensor]]:
    """For each layer and product, rows [rows, in] of its inputs when the scorer scores some batches.

    Every batch gives as many rows as any other, or more where it is computed in several pieces.
    """
    share = max(1, ROWS // len(batches))
    layers = [
        replace(
            one,
            project=one.project if isinstance(one.project, FirstTokens) else Recorder(one.project, share),
            widen=Recorder(one.widen, share),
            narrow=Recorder(one.narrow, share),
        )
        for one in scorer.layers
    ]
    watching = FusedCrossEncoder(scorer.model, layers, scorer.precision, scorer.source, scorer.batch_tokens)
    for batch in batches:
        # in one thread: what is noted must not depend on how many there are
        watching.pass_through(batch)
    inputs: list[dict[str, Tensor]] = [{} for _ in layers]
    for i, name in places(len(layers)):
        inputs[i][name] = torch.cat(getattr(layers[i], name).rows)
    return inputs


def plain(model: Any) -> list[dict[str, Tensors]]:
    """The products of each layer, in float32."""
    tensors = []
    for parts in parts_of(model):
        weights = {
            "project": joint(parts, heads_of(model)),
            "join": (parts.joined.weight, parts.joined.bias),
            "widen": (parts.widen.weight, parts.widen.bias),
            "narrow": (parts.narrow.weight, parts.narrow.bias),
        }
        tensors.append(
            {name: {"weight": w.detach().float(), "bias": b.detach().float()} for name, (w, b) in weights.items()}
        )
    return tensors


def kept(model: Any) -> list[dict[str, Tensors]]:
    """The products as they are saved when they are not quantised: in bfloat16, but the last ``project`` in float32, in which
    ``FirstTokens`` computes."""
    originals = plain(model)
    for i, layer in enumerate(originals):
        for name, tensors in layer.items():
            if (i + 1, name) != (len(originals), "project"):
                tensors["weight"] = tensors["weight"].bfloat16()
    return originals


def quantised(weight: Tensor, bias: Tensor, rows: Tensor, smoothing: Iterable[float] | None) -> dict[str, Tensor]:
    """One product as 8-bit integers, with the smoothing that changes its results least.

    Args:
        weight: [out, in].
        bias: [out].
        rows: [rows, in] of its inputs.
        smoothing: exponents to try, after each column was moved to the middle of its range; None leaves columns as they
            are.
    """
    expected = rows @ weight.T
    shift = torch.zeros(weight.shape[1]) if smoothing is None else (rows.amax(0) + rows.amin(0)) / 2
    moved, constant = rows - shift, weight @ shift
    candidates = []
    for alpha in (0.0,) if smoothing is None else smoothing:
        smooth = _smooth(weight, moved, alpha)
        columns, taken = moved / smooth, weight * smooth
        scale = (taken.abs().amax(1) / 127).clamp_min(1e-12)
        whole = (taken / scale[:, None]).round_()
        # 0 stays exact. All of the range: leaving out a thousandth of the inputs cost .01 of Kendall's tau
        low, high = min(0.0, float(columns.min())), max(0.0, float(columns.max()))
        step = max(high - low, 1e-12) / 255
        zero = min(255, max(0, round(-low / step)))
        inputs = columns.div(step).add_(zero).round_().clamp_(0, 255).sub_(zero).mul_(step)
        lost = expected - constant - inputs @ (whole * scale[:, None]).T
        # what is lost on average goes into the bias; the rest is the error
        mean = lost.mean(0)
        error = float((lost - mean).square().mean())
        candidates.append((error, smooth, whole, scale, step, zero, bias + constant + mean))
    _, smooth, whole, scale, step, zero, shifted = min(candidates, key=lambda one: one[0])
    return {
        "weight": whole.to(torch.int8), "bias": shifted, "weight_scale": scale, "shift": shift, "smooth": smooth,
        "input_scale": torch.tensor(step), "input_zero": torch.tensor(zero),
    }  # fmt: skip


def _smooth(weight: Tensor, rows: Tensor, alpha: float) -> Tensor:
    """[in], what each column of the inputs is divided by."""
    if not alpha:
        return torch.ones(weight.shape[1])
    inputs, own = rows.abs().amax(0).clamp_min(1e-5), weight.abs().amax(0).clamp_min(1e-5)
    return (inputs**alpha / own ** (1 - alpha)).clamp_min(1e-5)


def quantised_narrow(widen: Tensors, narrow: Tensors, rows: Tensor) -> Tensors:
    """The second product of a feed-forward as integers, with the columns apart whose inputs are largest.

    Args:
        widen: the first product, in float32.
        narrow: the second one, in float32.
        rows: [rows, in] of the second one's inputs.
    """
    columns = rows.abs().amax(0).topk(min(OUTLIERS, rows.shape[1] // 2)).indices
    others = torch.ones(rows.shape[1])
    others[columns] = 0
    made = quantised(narrow["weight"] * others, narrow["bias"], rows * others, None)
    apart = {
        "outlier_in": widen["weight"][columns],
        "outlier_bias": widen["bias"][columns],
        "outlier_out": narrow["weight"][:, columns],
    }
    return {**made, **apart}


def quantised_products(
    model: Any, inputs: list[dict[str, Tensor]], show: Callable[[Iterable], Iterable]
) -> list[dict[str, Tensors]]:
    """The products of a model, as integers where they can be; ``show`` wraps what takes long, for a progress bar."""
    floats, made = plain(model), kept(model)
    for i, name in show(places(len(made))):
        own, rows = floats[i][name], inputs[i][name]
        if name == "narrow":
            made[i][name] = quantised_narrow(floats[i]["widen"], own, rows)
        else:
            made[i][name] = quantised(own["weight"], own["bias"], rows, SMOOTHING)
    return made
