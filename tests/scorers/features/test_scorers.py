"""Scorers on features: the contract all share, and what each adds."""

import numpy as np
import pytest
import torch
from torch import nn

from ltr.batch import FeatureLists
from ltr.errors import ConfigError, ShapeError
from ltr.scorers import AttentionScorer, FeatureScorer, FeatureSettings, LinearScorer, MLPScorer

N = 5
SIZES = [3, 1, 4, 2]
SCORERS = {
    "linear": LinearScorer,
    "mlp": MLPScorer,
    "attention": AttentionScorer,
    "attention with dropout": lambda **k: AttentionScorer(width=12, layers=1, heads=3, dropout=0.2, **k),
    "mlp with dropout": lambda **k: MLPScorer(hidden=[8], dropout=0.3, activation="gelu", **k),
}


def batch(sizes=SIZES, seed=0):
    rng = np.random.default_rng(seed)
    n = sum(sizes)
    return FeatureLists.of(
        rng.normal(size=(n, N)),
        np.cumsum([0, *sizes]),
        rng.integers(0, 3, n),
        query_ids=[f"q{i}" for i in range(len(sizes))],
        doc_ids=[f"d{i}" for i in range(n)],
    )


def part(whole, i):
    """List i of a batch alone."""
    start, end = whole.list_offsets[i : i + 2].tolist()
    return FeatureLists.of(whole.features[start:end].numpy(), np.array([0, end - start]))


@pytest.fixture(params=SCORERS)
def scorer(request):
    torch.manual_seed(1)
    return SCORERS[request.param](n_features=N).eval()


def test_scores_are_padded_with_zeros(scorer):
    whole = batch()
    scores = scorer(whole)
    assert scores.shape == (4, 4)
    assert scores.dtype == torch.float32
    assert (scores[~whole.mask] == 0).all()


def test_a_list_alone_scores_as_in_a_batch(scorer):
    whole = batch()
    scores = scorer(whole)
    for i, size in enumerate(SIZES):
        torch.testing.assert_close(scorer(part(whole, i))[0], scores[i, :size], rtol=1e-5, atol=1e-6)


def test_documents_can_come_in_any_order(scorer):
    whole = batch([6])
    order = torch.randperm(6)
    moved = FeatureLists.of(whole.features[order].numpy(), np.array([0, 6]))
    torch.testing.assert_close(scorer(moved)[0], scorer(whole)[0, order], rtol=1e-5, atol=1e-6)


def test_every_parameter_learns_and_stands_in_one_part(scorer):
    scorer.train()(batch()).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in scorer.parameters())
    parts = scorer.parts()
    assert {id(p) for own in parts.values() for p in own} == {id(p) for p in scorer.parameters()}
    assert sum(map(len, parts.values())) == len(list(scorer.parameters()))
    assert (1,) in {tuple(p.shape) for p in parts["head"]}


def test_an_empty_share_takes_part_in_the_backward_pass(scorer):
    empty = FeatureLists.of(np.zeros((0, N)), np.array([0]))
    scores = scorer(empty)
    assert scores.shape == (0, 0)
    scores.sum().backward()
    assert all((p.grad == 0).all() for p in scorer.parameters() if p.grad is not None)


@pytest.mark.parametrize("make", SCORERS.values(), ids=SCORERS)
def test_layers_come_with_the_data_and_learn_normalised_features(make):
    waiting = make().eval()
    assert waiting.parts() == {"encoder": [], "head": []}
    with pytest.raises(
        ConfigError, match="the number of features is not known yet; give n_features, or train it through"
    ):
        waiting(batch())
    torch.manual_seed(1)
    waiting.fit_to(FeatureSettings(N, True, shift=np.arange(N), scale=np.arange(1, N + 1)))
    torch.manual_seed(1)
    plain = make(n_features=N).eval()
    whole = batch()
    raw = whole.features.double().numpy()
    whole.features = torch.from_numpy(
        (np.sign(raw) * np.log1p(np.abs(raw)) - np.arange(N)) / np.arange(1, N + 1)
    ).float()
    torch.testing.assert_close(waiting(batch()), plain(whole), rtol=1e-5, atol=1e-6)


def test_a_fitted_scorer_keeps_its_statistics(scorer):
    scorer.fit_to(FeatureSettings(N, False, shift=np.ones(N), scale=np.ones(N)))
    scorer.fit_to(FeatureSettings(N, True, shift=np.zeros(N), scale=np.full(N, 2.0)))
    assert not scorer.log1p
    assert scorer.shift.tolist() == [1.0] * N
    with pytest.raises(
        ConfigError, match=r"its layers take 5 features, got data with 7; take the data that it was trained"
    ):
        scorer.fit_to(FeatureSettings(7))


def test_statistics_are_part_of_the_state_and_not_trained(scorer):
    assert {"shift", "scale"} <= set(scorer.state_dict())
    assert not {"shift", "scale"} & {name for name, _ in scorer.named_parameters()}


def test_another_number_of_features_is_refused(scorer):
    with pytest.raises(ShapeError, match=r"takes 5 features per document, got 2"):
        scorer(FeatureLists.of(np.zeros((1, 2)), np.array([0, 1])))


def test_the_linear_score_by_hand():
    made = LinearScorer(n_features=2)
    made.fit_to(FeatureSettings(2, False, shift=np.array([1.0, 0.0]), scale=np.array([2.0, 1.0])))
    with torch.no_grad():
        made.head.weight.copy_(torch.tensor([[3.0, -1.0]]))
        made.head.bias.fill_(0.5)
    # 3 * (5 - 1) / 2 - 1 * 4 + 0.5
    assert made(FeatureLists.of(np.array([[5.0, 4.0]]), np.array([0, 1]))).tolist() == [[2.5]]


def test_the_layers_of_an_mlp():
    layers = MLPScorer(hidden=[7, 3], dropout=0.1, activation="tanh", n_features=N)
    shown = [type(layer) for layer in layers.encoder]
    assert shown == [nn.Linear, nn.Tanh, nn.Dropout] * 2
    assert [tuple(p.shape) for p in layers.parameters() if p.dim() == 2] == [(7, 5), (3, 7), (1, 3)]


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"hidden": []}, r"hidden takes widths of at least 1, one per layer, got \[\]; for none take LinearScorer"),
        ({"hidden": [4, 0]}, r"hidden takes widths of at least 1, one per layer, got \[4, 0\]"),
        ({"dropout": 1.0}, r"dropout must be at least 0 and below 1, got 1.0"),
        ({"activation": "rely"}, r"activation must be one of relu, gelu, silu, tanh, elu, got 'rely'"),
        ({"n_features": 0}, r"n_features must be at least 1, got 0"),
    ],
)
def test_settings_are_checked(settings, sentence):
    with pytest.raises(ConfigError, match=f"MLPScorer: {sentence}"):
        MLPScorer(**settings)


def test_a_scorer_must_say_its_layers():
    with pytest.raises(NotImplementedError, match=r"FeatureScorer must define layers\(n_features\)"):
        FeatureScorer(n_features=2)
