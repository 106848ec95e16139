"""The script that measures a GPU, on the processor and tiny sizes."""

import pytest
import torch

from tests.packing import needs_packing

pytest.importorskip("sentence_transformers")
pytestmark = needs_packing


def test_the_same_code_runs_without_a_gpu(measured_here):
    import gpu

    result, printed = measured_here(gpu, "--device=cpu", "--quick")
    ways = [row["bf16"] for row in result["rows"]]
    assert ways == [f"{name}, {use}" for use in ("scoring", "training") for name in ("sentence-transformers", "ltr")]
    assert all(row["pairs/s"] > 0 for row in result["rows"])
    assert [row["work"] for row in result["losses"]] == [
        "copy",
        "ListNet",
        "RankNet",
        "LambdaRank",
        "DifferenceMatching",
        "ApproxNDCG",
    ]
    assert result["packed to padded"] < 1e-3
    assert "packed and padded scores differ by" in printed


def test_operations_are_those_that_are_computed(speed, tmp_path):
    """Counted by torch itself, whose counter sees matrix products and attention."""
    import gpu
    from torch.utils.flop_counter import FlopCounterMode

    from ltr.scorers.text.cross_encoder import CrossEncoder

    scorer = CrossEncoder(str(gpu.save_model(tmp_path / "m", 32, 3, 4))).eval()
    batch = gpu.encoded(scorer, *gpu.texts(2, 4))
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        scorer(batch)
    head = 2 * 8 * (32 * 32 + 32)
    # a processor's fused attention is not counted by torch: the rest is
    attention = 2 * 4 * 32 * float((batch.lengths.double() ** 2).sum()) + 4 * 32 * float(batch.lengths.sum())
    expected = gpu.operations(scorer.model.config, batch.lengths)
    counted = counter.get_total_flops() - head
    assert counted == pytest.approx(expected) or counted + attention == pytest.approx(expected)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_so(measured_here):
    import gpu

    with pytest.raises(SystemExit, match="torch sees no CUDA device here; --device cpu --quick runs the same code"):
        measured_here(gpu)
