import dataclasses
import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn.functional import gelu

from ltr.errors import ConfigError
from ltr.scorers.cpu import cross_encoder as fused_module
from ltr.scorers.cpu import quantised as module
from ltr.scorers.cpu.cross_encoder import activation_of
from ltr.scorers.cpu.quantisation_choice import (
    Recorder,
    kept,
    quantised,
    quantised_narrow,
    quantised_products,
    recorded,
)
from ltr.scorers.cpu.quantised import (
    FILE,
    PRODUCTS,
    Outliers,
    QuantisedProduct,
    careful,
    is_quantised,
    load_quantised,
    places,
    state_of,
    with_products,
)
from ltr.scorers.hardware import multiplies_int8
from ltr.scorers.text.cross_encoder import CrossEncoder
from tests.scorers.text.test_cross_encoder import random_batch
from tests.tiny_model import save_tiny

SEPARATOR = 5
NATIVE = [
    pytest.param(True, marks=pytest.mark.skipif(not multiplies_int8(), reason="no int8 dot products here")),
    False,
]


@pytest.fixture(params=NATIVE, ids=lambda native: "int8" if native else "floats")
def native(request, monkeypatch) -> bool:
    monkeypatch.setattr(module, "multiplies_int8", lambda: request.param)
    return request.param


def sample(rows=300, columns=16, out=8, outlier=20.0):
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(rows, columns, generator=draw)
    x[:, 3] *= outlier  # one column that takes the whole range
    return x, torch.randn(out, columns, generator=draw), torch.randn(out, generator=draw)


def test_a_quantised_product_is_near_the_exact_one(native):
    x, weight, bias = sample()
    product = QuantisedProduct(quantised(weight, bias, x, (0.0, 0.5)))
    exact = x @ weight.T + bias
    assert (product(x) - exact).square().mean().sqrt() < 0.01 * exact.std()


def test_whole_numbers_are_those_of_the_definition(native):
    """By hand: input = round((x - shift) / (smooth step)) + zero, weight = round(w / scale), and the products of both, scaled back."""
    tensors = {
        "weight": torch.tensor([[127, -64]], dtype=torch.int8), "bias": torch.tensor([0.5]), "weight_scale": torch.tensor([0.01]),
        "shift": torch.tensor([0.0, 0.5]), "smooth": torch.tensor([1.0, 2.0]), "input_scale": torch.tensor(0.1), "input_zero": torch.tensor(100),
    }  # fmt: skip
    x = torch.tensor([[0.52, -1.0], [99.0, -99.0]])
    assert QuantisedProduct(tensors).codes(x).tolist() == [[105, 92], [255, 0]]
    wanted = [0.5 + 0.1 * 0.01 * (127 * 5 - 64 * -8), 0.5 + 0.1 * 0.01 * (127 * 155 - 64 * -100)]
    assert QuantisedProduct(tensors)(x).flatten().tolist() == pytest.approx(wanted, rel=1e-5)


def test_whole_numbers_may_go_from_product_to_product(native):
    x, weight, bias = sample()
    hidden = gelu(x @ weight.T + bias)
    second, other = sample(out=5, columns=8)[1:]
    following = quantised(second, other, hidden, None)
    first = quantised(weight, bias, x, (0.5,))
    codes = QuantisedProduct(first, "gelu", torch.uint8, following)(x)
    assert codes.dtype == torch.uint8
    chained = QuantisedProduct(following)(codes)
    apart = QuantisedProduct(following)(QuantisedProduct(first, "gelu")(x))
    # half a step of rounding may differ
    assert (chained - apart).abs().max() < 2 * float(following["input_scale"]) * second.abs().max()
    assert (chained - apart).abs().mean() < 0.01 * apart.std()


def error_of(x, weight, bias, smoothing):
    found = QuantisedProduct(quantised(weight, bias, x, smoothing))(x)
    return float((found - (x @ weight.T + bias)).square().mean())


def test_a_column_far_from_the_others_is_moved():
    x, weight, bias = sample(outlier=1.0)
    x[:, 5] += 200
    assert error_of(x, weight, bias, (0.0,)) < 0.01 * error_of(x, weight, bias, None)


def test_smoothing_takes_outliers_from_the_inputs():
    x, weight, bias = sample(outlier=200.0)
    assert error_of(x, weight, bias, (0.5,)) < 0.5 * error_of(x, weight, bias, (0.0,))
    best = quantised(weight, bias, x, (0.0, 0.5))
    assert not best["smooth"].eq(1).all(), "the smoothing with the smaller error is taken"


def test_columns_as_they_are_keep_zero_exact():
    x, weight, bias = sample()
    tensors = quantised(weight, bias, x + 100, None)  # inputs that are never near 0
    assert QuantisedProduct(tensors).codes(torch.zeros(1, 16)).eq(int(tensors["input_zero"])).all()
    exact = (x + 100) @ weight.T + bias
    assert (QuantisedProduct(tensors)(x + 100) - exact).abs().max() < 0.05 * exact.abs().max()
    assert tensors["shift"].eq(0).all()
    assert tensors["smooth"].eq(1).all()


def test_the_largest_columns_are_computed_apart(native):
    x, weight, bias = sample(out=64)
    weight[7] *= 40  # makes an outlier between the two products
    second, other = sample(out=5, columns=64)[1:]
    hidden = gelu(x @ weight.T + bias)
    exact = hidden @ second.T + other
    widen, narrow = {"weight": weight, "bias": bias}, {"weight": second, "bias": other}
    made = quantised_narrow(widen, narrow, hidden)
    assert made["outlier_in"].shape == (16, 16)
    found = QuantisedProduct(made)(hidden) + Outliers(made, "gelu")(x)
    together = QuantisedProduct(quantised(second, other, hidden, None))(hidden)
    assert (found - exact).square().mean() < 0.05 * (together - exact).square().mean()


def test_what_is_lost_on_average_goes_into_the_bias():
    x, weight, bias = sample(outlier=50)
    lost = QuantisedProduct(quantised(weight, bias, x, None))(x) - (x @ weight.T + bias)
    assert lost.mean(0).abs().max() < 1e-3 < 0.05 * lost.std()


@pytest.fixture
def model(tmp_path):
    return CrossEncoder(str(save_tiny(tmp_path / "model", head=True))).eval()


def made_of(model, keep=(), queries=False):
    full = model.fused(torch.float32)
    whole = quantised_products(model.model, recorded(full, [random_batch([30])]), lambda layers: layers)
    floats = kept(model.model)
    products = [{n: (floats if (i, n) in keep else whole)[i][n] for n in PRODUCTS} for i in range(2)]
    if queries:
        products[0] |= {n: careful(t, floats[0][n]) for n, t in products[0].items() if is_quantised(t)}
    return with_products(full, products, activation_of(model.model), SEPARATOR if queries else None), products


@pytest.mark.parametrize("keep", [set(), {(0, "widen")}, {(0, "narrow"), (0, "project")}, set(places(2))])
def test_a_quantised_model_scores_nearly_the_same(model, native, keep):
    made, _ = made_of(model, keep)
    batch = random_batch([25], seed=4)
    exact, found = model(batch).detach(), made(batch)
    assert made.precision == "int8"
    assert (exact - found).abs().max() > 0
    assert torch.corrcoef(torch.cat([exact, found]))[0, 1] > 0.99


def saved(model, tmp_path, keep=(), queries=False):
    made, products = made_of(model, keep, queries)
    folder = tmp_path / "out"
    folder.mkdir()
    state, told = state_of(made, products, made.layers[0].eps)
    save_file(state, folder / FILE, metadata=told)
    model.model.config.save_pretrained(folder)
    model.tokenizer.save_pretrained(folder)
    return made, folder


@pytest.mark.parametrize("keep", [set(), {(0, "widen"), (0, "narrow")}, {(0, "widen")}])
@pytest.mark.parametrize("queries", [False, True])
def test_what_is_saved_scores_the_same(model, tmp_path, keep, queries):
    made, folder = saved(model, tmp_path, keep, queries)
    batch = random_batch([6])
    again = load_quantised(folder)
    assert torch.equal(again(batch), made(batch))
    assert again.source == str(folder)
    assert again.separator == made.separator == (SEPARATOR if queries else None)
    assert load_quantised(folder, batch_tokens=99).batch_tokens == 99
    assert again.max_positions == model.max_positions


def test_transformers_does_not_take_it_for_an_ordinary_model(model, tmp_path):
    """It would fill what it does not find with random values."""
    from transformers import AutoModelForSequenceClassification

    _, folder = saved(model, tmp_path)
    with pytest.raises(OSError, match=r"no file named .*\bmodel\.safetensors"):
        AutoModelForSequenceClassification.from_pretrained(folder)


def test_damaged_files_are_told(model, tmp_path):
    _, folder = saved(model, tmp_path)
    # copies: what is loaded lies in the file, which is written anew below
    state = {name: value.clone() for name, value in load_file(folder / FILE).items()}
    lost = {name: value for name, value in state.items() if name != "layers.1.narrow.weight"}
    told = {"format": module.FORMAT, "eps": "1e-12", "layers": "2"}
    for tensors, metadata, reason in (
        (lost, told, "narrow|weight"),
        (state, {**told, "format": "ltr quantised 99"}, "its format is 'ltr quantised 99', not 'ltr quantised 2'"),
        (state, {**told, "layers": "1"}, "it has 1 layers, config.json says 2"),
    ):
        save_file(tensors, folder / FILE, metadata=metadata)
        with pytest.raises(
            ConfigError, match=f"quantised.safetensors: damaged, or not of the model.*{reason}.*export it"
        ):
            load_quantised(folder)
    (folder / FILE).write_bytes(b"\x08\0\0\0\0\0\0\0{broken}")
    with pytest.raises(ConfigError, match="damaged"):
        load_quantised(folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "vocab_size": 99}))
    save_file(state, folder / FILE, metadata=told)
    with pytest.raises(ConfigError, match="size mismatch"):
        load_quantised(folder)


def test_what_can_be_quantised():
    assert places(1) == []
    assert places(2) == [(0, "project"), (0, "widen"), (0, "narrow")]
    assert len(places(6)) == 15


def test_every_list_is_recorded(model):
    full = model.fused(torch.float32)
    batches = [random_batch([30], seed=i) for i in range(4)]
    rows = recorded(full, batches)[0]["project"]
    for i in range(4):
        alone = recorded(full, [batches[i]])[0]["project"]
        assert any(torch.isin(row, alone).all() for row in rows[i * len(rows) // 4 : (i + 1) * len(rows) // 4][:3])


def test_what_is_recorded_does_not_depend_on_the_number_of_threads(model, monkeypatch):
    full = model.fused(torch.float32)
    batches = [random_batch([40], seed=i) for i in range(2)]
    expected = recorded(full, batches)
    monkeypatch.setattr(fused_module, "threads_for", lambda tokens: 4)
    for one, other in zip(recorded(full, batches), expected, strict=True):
        assert one.keys() == other.keys()
        assert all(torch.equal(one[name], other[name]) for name in one)


def test_processors_without_8_bit_products_are_told(model, tmp_path, monkeypatch, caplog):
    _, folder = saved(model, tmp_path)
    monkeypatch.setattr(module, "multiplies_int8", lambda: False)
    load_quantised(folder)
    assert "has no 8-bit products; the same numbers are multiplied as floats, slowly" in caplog.text


def test_opening_draws_nothing_and_checks_the_budget(model, tmp_path):
    _, folder = saved(model, tmp_path)
    before = torch.get_rng_state()
    load_quantised(folder)
    assert torch.equal(torch.get_rng_state(), before)
    with pytest.raises(ConfigError, match="batch_tokens and batch_docs must be at least 1, got 0 and None"):
        load_quantised(folder, batch_tokens=0)


def test_what_is_kept_is_saved_in_bfloat16(model, tmp_path):
    _, folder = saved(model, tmp_path)
    state = load_file(folder / FILE)
    assert state["layers.0.join.weight"].dtype == torch.bfloat16
    assert state["layers.0.widen.weight"].dtype == torch.int8
    assert state["layers.1.project.weight"].dtype == torch.float32, "what is left of it is computed in float32"


def test_whole_numbers_go_on_where_both_products_are_quantised(model):
    """Else each would be written as floats and read again."""
    both, one = (made_of(model, keep)[0].layers[0] for keep in (set(), {(0, "narrow")}))
    assert both.widen.dtype == torch.uint8
    assert both.beside is not None
    assert one.widen.dtype == module.working()
    assert one.beside is None


def test_rows_behind_the_documents_are_not_recorded():
    """At most 1/32 of the rows are spare."""
    recorder = Recorder(lambda x: x, share=10**6)
    recorder(torch.cat([torch.ones(62, 3), torch.zeros(2, 3)]))
    recorder(torch.full((5, 3), 2.0))
    assert torch.cat(recorder.rows).ne(0).all()
    assert recorder.rows[1].shape == (5, 3)


def with_separators(batch, at=4):
    """A batch whose documents each hold two separators, the first of them at one place in the document."""
    ids = batch.tokens.ids.masked_fill(batch.tokens.ids == SEPARATOR, SEPARATOR + 1)
    starts = batch.tokens.offsets[:-1]
    ids[starts + torch.minimum(batch.lengths - 1, torch.tensor(at))] = SEPARATOR
    ids[batch.tokens.offsets[1:] - 1] = SEPARATOR
    return dataclasses.replace(batch, tokens=dataclasses.replace(batch.tokens, ids=ids))


@pytest.mark.parametrize("keep", [set(), {(0, "project")}, {(0, "widen"), (0, "narrow")}])
def test_queries_are_computed_in_the_working_precision(model, monkeypatch, keep):
    """Where a document is all query, everything is as if it was kept."""
    monkeypatch.setattr(module, "working", lambda: torch.float32)
    made, _ = made_of(model, keep, queries=True)
    rough, _ = made_of(model, keep)
    batch = with_separators(random_batch([25], seed=4), at=1000)
    expected = made_of(model, set(places(2)))[0](batch)
    torch.testing.assert_close(made(batch), expected, rtol=1e-4, atol=1e-4)
    assert (rough(batch) - expected).abs().max() > 1e-3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state, told: told.pop("separator"), "careful with queries and names no separator"),
        (lambda state, told: told.update(separator="x"), "invalid literal for int"),
        (lambda state, told: state.pop("layers.0.narrow.precise"), "careful with queries in project, widen alone"),
    ],
)
def test_damaged_careful_layers_are_told(model, tmp_path, change, message):
    made, products = made_of(model, queries=True)
    state, told = state_of(made, products, made.layers[0].eps)
    change(state, told)
    model.model.config.save_pretrained(tmp_path)
    save_file(state, tmp_path / FILE, metadata=told)
    with pytest.raises(ConfigError, match=rf"damaged.*{message}.*export it again"):
        load_quantised(tmp_path)


def test_only_queries_are_computed_so(model, monkeypatch):
    made, _ = made_of(model, queries=True)
    batch = with_separators(random_batch([9], seed=4))
    rows = []
    precise = made.layers[0].precise
    monkeypatch.setattr(precise, "widen", lambda x, own=precise.widen: rows.append(len(x)) or own(x))
    monkeypatch.setattr(fused_module, "threads_for", lambda tokens: 1)
    made(batch)
    assert rows == [int(batch.lengths.clamp(max=5).sum())]
    assert made.layers[1].precise is None
