"""All golden values of losses: from their definitions in arithmetic of 60 digits (see "about" in the file)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from ltr import links, losses

GOLD = json.loads((Path(__file__).parents[1] / "gold" / "losses.json").read_text())

LINKS = {
    "identity": links.Identity,
    "sigmoid": links.Sigmoid,
    "tanh": links.Tanh,
    "asinh": links.Asinh,
    "sinh": links.Sinh,
    "exp": links.Exp,
    "reverse_exp": links.ReverseExp,
}
#: name in the file -> (class, name in the file -> argument)
NAMES = {
    "ranknet": (losses.RankNet, {}),
    "pairwise_hinge": (losses.PairwiseHinge, {"margin": "margin"}),
    "listnet": (losses.ListNet, {}),
    "softmax_cross_entropy_gains": (losses.SoftmaxCE, {}),
    "lambdarank": (losses.LambdaRank, {"sigma": "sigma"}),
    "lambdaloss_ndcg2": (lambda **kw: losses.LambdaLoss("ndcg2", **kw), {"sigma": "sigma"}),
    "approx_ndcg": (losses.ApproxNDCG, {"temperature": "temperature"}),
    "listmle": (losses.ListMLE, {}),
    "margin_mse": (losses.MarginMSE, {}),
    "mse": (losses.MSE, {}),
    "kl_distillation": (losses.KLDistillation, {}),
    "info_nce": (losses.InfoNCE, {}),
    "bce": (losses.BCE, {}),
}


def link_of(setting):
    arguments = {k: v for k, v in setting.items() if k in ("center", "width", "scale", "tail")}
    return LINKS[setting["link"]](**arguments)


def loss_of(case):
    name = case.get("loss_name")
    if name == "composite_contrast":
        return losses.CompositeContrast(link_of(case["transform"]))
    if name == "difference_matching":
        return losses.DifferenceMatching(link_of(case["link"]))
    if name is None:
        return losses.CompositeSoftmax(link_of(case["transform"]), form=case["form"])
    kind, arguments = NAMES[name]
    return kind(**{argument: case[key] for key, argument in arguments.items()})


def cases(family):
    for i, case in enumerate(GOLD[family]):
        name = case.get("loss_name", case.get("form", case.get("link", "")))
        yield pytest.param(case, id=f"{family}-{i}-{name}")


def close(found, wanted, dtype):
    wanted = torch.tensor(wanted, dtype=torch.float64)
    relative, absolute = (1e-9, 1e-12) if dtype == torch.float64 else (1e-5, 1e-6)
    scale = float(wanted.abs().max()) or 1.0
    torch.testing.assert_close(found.detach().double(), wanted, rtol=relative, atol=absolute * scale)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("case", [*cases("composite"), *cases("pairwise"), *cases("classical")])
def test_losses_and_gradients(case, dtype):
    scores = torch.tensor([case["scores"]], dtype=dtype, requires_grad=True)
    labels = torch.tensor([case["labels"] if "labels" in case else case["target_scores"]], dtype=dtype)
    loss = loss_of(case)(scores, labels)
    loss.backward()
    close(loss, case["loss"], dtype)
    close(scores.grad[0], case["grad"], dtype)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("case", [*cases("links")])
def test_matching_losses_of_single_documents(case, dtype):
    # eight documents in lists of one, so that each cost is seen
    scores = torch.tensor(case["pred"], dtype=dtype)[:, None].requires_grad_()
    targets = torch.tensor(case["target"], dtype=dtype)[:, None]
    costs = losses.Matching(link_of(case), reduction="none")(scores, targets)
    costs.sum().backward()
    for found, wanted in zip(costs, case["loss"], strict=True):
        relative = 1e-9 if dtype == torch.float64 else 1e-5
        assert found.item() == pytest.approx(wanted, rel=relative, abs=1e-30)
    # gradients near the target are relative to the link's values there
    size = torch.tensor(case["link_at_pred"], dtype=torch.float64).abs().clamp(min=1e-3)
    wanted = torch.tensor(case["grad_pred"], dtype=torch.float64)
    size = torch.maximum(size, (torch.tensor(case["link_at_pred"], dtype=torch.float64) - wanted).abs())
    error = (scores.grad[:, 0].double() - wanted).abs() / size
    assert error.max() < (1e-9 if dtype == torch.float64 else 1e-5)


def test_every_case_of_the_file_is_read():
    families = {"links": 28, "composite": 24, "pairwise": 10, "classical": 39}
    assert {family: len(GOLD[family]) for family in families} == families
    assert set(GOLD) == {"about", *families}
