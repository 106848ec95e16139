"""What the machine multiplies by itself, so that a lower precision is faster and not only smaller."""

from __future__ import annotations

import torch

from ltr.scorers.cpu import torch_private


def multiplies_bf16(device: torch.device) -> bool:
    """Whether the hardware itself multiplies bfloat16 matrices."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        known = torch_private.capabilities()
        return bool(known.get("avx512_bf16") or known.get("amx_bf16") or known.get("bf16"))
    return False


def multiplies_int8() -> bool:
    """Whether the processor has dot products of 8-bit integers, and torch the routine that uses them.

    Older x86 processors saturate in between: their sums would be wrong, not only slow.
    """
    known = torch_private.capabilities()
    dots = any(known.get(name) for name in ("avx512_vnni", "avx_vnni", "amx_int8"))
    return bool(dots) and torch_private.has_int8_product()
