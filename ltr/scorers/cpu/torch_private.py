"""The parts of torch that it does not call public and that scoring on a CPU needs, each with the reason, in one place.

They are there in torch 2.10 to 2.13; ``tests/scorers/cpu/test_torch_private.py`` says which of them another torch lacks.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor


def capabilities() -> Mapping[str, Any]:
    """What the processor can do, by name; torch 2.10 has no torch.cpu.get_capabilities, which tells more."""
    if hasattr(torch.cpu, "get_capabilities"):
        return torch.cpu.get_capabilities()
    return {"avx512_bf16": torch.cpu._is_avx512_bf16_supported(), "avx512_vnni": torch.cpu._is_vnni_supported()}


def reorders(dtype: torch.dtype) -> bool:
    """Whether oneDNN's products on reordered weights are there for a dtype; elsewhere torch's own are used."""
    if not (torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")):
        return False
    return dtype != torch.bfloat16 or bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def reordered(weight: Tensor) -> Tensor:
    """A weight in oneDNN's order: torch.nn.functional.linear would put it into that order at each call."""
    # the second argument is the number of rows that the order is best for; any number works
    return torch.ops.mkldnn._reorder_linear_weight(weight, 4096)


def product(x: Tensor, weight: Tensor, bias: Tensor, activation: str, variant: str) -> Tensor:
    """``activation(x W^T + b)`` with a ``reordered`` weight: the public linear knows neither the order nor activations."""
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, activation, [], variant)


def product_plus(x: Tensor, weight: Tensor, bias: Tensor, other: Tensor) -> Tensor:
    """``x W^T + b + other`` with a ``reordered`` weight and everything of one dtype, rounded to it once, at the end."""
    return torch.ops.mkldnn._linear_pointwise.binary(x, other, weight, bias, "add")


def has_int8_product() -> bool:
    """Whether torch has products of 8-bit integers with a scale per column: the public quantised modules lack them."""
    return hasattr(torch.ops.onednn, "qlinear_pointwise")


def packed(weight: Tensor) -> Tensor:
    """An int8 weight in oneDNN's order, which is that of its transpose; only the operator packs it."""
    return torch.ops.onednn.qlinear_prepack(weight, None)


def int8_product(
    x: Tensor,
    scale: float,
    zero: int,
    weight: Tensor,
    weight_scale: Tensor,
    weight_zero: Tensor,
    bias: Tensor,
    next_scale: float,
    next_zero: int,
    dtype: torch.dtype,
    activation: str,
    variant: str,
) -> Tensor:
    """``activation(x W^T + b)`` of uint8 inputs and a ``packed`` weight, rounded to the next layer's codes on the way."""
    return torch.ops.onednn.qlinear_pointwise(
        x, scale, zero, weight, weight_scale, weight_zero, bias, next_scale, next_zero, dtype, activation, [], variant
    )


def keeps_graph() -> bool:
    """Whether the backward pass that runs in this thread was asked to keep its graph: a pass inside it must do the same."""
    return bool(torch._C._autograd._get_current_graph_task_keep_graph())
