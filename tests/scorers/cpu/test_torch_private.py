"""Each part of torch that is not public still does what scoring on a CPU needs; a failure names the part."""

from __future__ import annotations

import inspect
from functools import partial

import pytest
import torch
from torch.nn.functional import gelu, linear, relu

from ltr.scorers import hardware
from ltr.scorers.cpu import torch_private
from tests.private_parts import provided

provided_by = partial(provided, used_by=torch_private)


def drawn(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def test_weights_in_onednns_order_multiply_like_others():
    if not torch.backends.mkldnn.is_available():
        pytest.skip("this torch is built without oneDNN")
    x, weight, bias = drawn(5, 16), drawn(8, 16), drawn(8)
    with provided_by("torch.ops.mkldnn: _linear_pointwise, _is_mkldnn_bf16_supported"):
        assert torch_private.reorders(torch.float32)
        assert torch_private.reorders(torch.bfloat16) in (True, False)
    with provided_by("torch.ops.mkldnn: _reorder_linear_weight, _linear_pointwise"), torch.inference_mode():
        reordered = torch_private.reordered(weight)
        torch.testing.assert_close(reordered.to_dense(), weight, rtol=0, atol=0)
        right = linear(x, weight, bias)
        for name, variant, wanted in (
            ("none", "", right),
            ("relu", "", relu(right)),
            ("gelu", "none", gelu(right)),
            ("gelu", "tanh", gelu(right, approximate="tanh")),
        ):
            torch.testing.assert_close(
                torch_private.product(x, reordered, bias, name, variant), wanted, rtol=1e-5, atol=1e-5
            )


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_product_takes_up_what_is_added_and_is_rounded_once(dtype):
    if not torch_private.reorders(dtype):
        pytest.skip("this torch has no such products here")
    x, weight, bias, other = (t.to(dtype) for t in (drawn(5, 16), drawn(8, 16), drawn(8), 100 * drawn(5, 8)))
    with provided_by("torch.ops.mkldnn: _linear_pointwise.binary"), torch.inference_mode():
        found = torch_private.product_plus(x, torch_private.reordered(weight), bias, other)
    right = linear(x.double(), weight.double(), bias.double()) + other.double()
    assert found.dtype == dtype
    # half a unit in the last place: rounding the product first would be off by up to a whole one
    torch.testing.assert_close(found.double(), right, rtol=torch.finfo(dtype).eps / 2 * 1.1, atol=1e-4)


def test_whole_numbers_are_multiplied_with_a_scale_per_column():
    with provided_by("torch.ops.onednn.qlinear_pointwise"):
        assert torch_private.has_int8_product()
    if not hardware.multiplies_int8():
        pytest.skip("this processor has no dot products of 8-bit integers")
    x = torch.tensor([[10, 12, 14, 16]], dtype=torch.uint8)  # with zero 12 and scale 1/2: -1, 0, 1, 2
    weight = torch.tensor([[1, 2, 3, 4], [-1, 0, 0, 1]], dtype=torch.int8)
    scales, zeros, bias = torch.tensor([1.0, 3.0]), torch.zeros(2, dtype=torch.int32), torch.tensor([0.5, -20.0])
    with provided_by("torch.ops.onednn: qlinear_prepack, qlinear_pointwise"), torch.inference_mode():
        packed = torch_private.packed(weight)
        assert torch.equal(packed.to_dense().t(), weight)
        given = (x, 0.5, 12, packed, scales, zeros, bias)
        # -1 + 3 + 8, and 3 (1 + 2); then the bias
        assert torch_private.int8_product(*given, 1.0, 0, torch.float32, "none", "").tolist() == [[10.5, -11.0]]
        assert torch_private.int8_product(*given, 1.0, 0, torch.float32, "relu", "").tolist() == [[10.5, 0.0]]
        assert torch_private.int8_product(*given, 0.5, 3, torch.uint8, "none", "").tolist() == [[24, 0]]


def test_attention_over_documents_of_any_lengths_takes_what_it_is_given():
    with provided_by("torch.nn.attention.varlen.varlen_attn"):
        from torch.nn.attention.varlen import varlen_attn

        taken = list(inspect.signature(varlen_attn).parameters)
        assert taken[:7] == ["query", "key", "value", "cu_seq_q", "cu_seq_k", "max_q", "max_k"]


def test_capabilities_are_known_where_torch_does_not_list_them(monkeypatch):
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    for has in (True, False):
        with provided_by("torch.cpu: _is_avx512_bf16_supported, _is_vnni_supported"), monkeypatch.context() as patch:
            patch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda has=has: has, raising=False)
            patch.setattr(torch.cpu, "_is_vnni_supported", lambda has=has: has, raising=False)
            assert hardware.multiplies_bf16(torch.device("cpu")) is has
            assert hardware.multiplies_int8() is has


@pytest.mark.parametrize("keep", [True, False])
def test_a_backward_pass_knows_whether_it_keeps_its_graph(keep):
    found = []

    class Asking(torch.autograd.Function):
        @staticmethod
        def forward(ctx, values):
            return values.clone()

        @staticmethod
        def backward(ctx, gradient):
            with provided_by("torch._C._autograd._get_current_graph_task_keep_graph"):
                found.append(torch_private.keeps_graph())
            return gradient

    Asking.apply(torch.ones(1, requires_grad=True)).backward(retain_graph=keep)
    assert found == [keep]
