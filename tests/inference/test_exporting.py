import dataclasses
import errno
import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from ltr.data.tokens.pairs import PairTemplate
from ltr.data.tokens.reader import Texts
from ltr.errors import ConfigError, DataError, LtrError
from ltr.inference.exports import integers as exporting
from ltr.inference.exports.integers import Check, Tolerance, agreement, check, opened, quantise
from ltr.inference.exports.place import check_place, describe
from ltr.inference.reranker import Reranker
from ltr.scorers.text.cross_encoder import CrossEncoder
from ltr.settings.texts import ModelSettings
from tests.tiny_model import WORDS, save_tiny


def show(values, name):
    return values


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> str:
    home = tmp_path_factory.mktemp("export")
    torch.manual_seed(5)
    CrossEncoder(str(save_tiny(home / "backbone", head=True))).save(home / "best", ModelSettings(60, 20, 0.3))
    return str(home / "best")


@pytest.fixture(scope="module")
def lists(folder):
    draw = np.random.default_rng(0)
    encoder = Reranker.load(folder, "cpu", "32").reader
    docs = [[" ".join(draw.choice(WORDS, draw.integers(3, 40))) for _ in range(12)] for _ in range(12)]
    texts = [
        Texts(f"q{i}", " ".join(draw.choice(WORDS, 4)), [f"d{j}" for j in range(12)], own) for i, own in enumerate(docs)
    ]
    return [encoder.batch([one]) for one in texts]


@pytest.fixture(scope="module")
def export(folder, lists):
    return quantise(opened(folder), lists[:6], Tolerance(0.9), show)


QRELS = {f"q{i}": {"d1": 1, "d5": 2} for i in range(12)}


def test_what_is_written_is_what_was_checked(export, lists, folder, tmp_path):
    found = check(export, lists[6:], QRELS, show)
    assert (found.queries, found.docs, found.products) == (6, 72, 3)
    assert 0.9 < found.tau < 1
    assert 0 < found.largest < found.spread
    assert found.exact_ndcg is not None
    export.write(tmp_path / "out", found, Tolerance(0.9, 0.5))
    reranker = Reranker.load(tmp_path / "out")
    assert reranker.precision == "int8"
    assert reranker.settings == ModelSettings(60, 20, 0.3)
    exact = Reranker.load(folder, "cpu", "32")
    query, docs = "how to sort", [" ".join(WORDS[i : i + 5]) for i in range(20)]
    both = [
        np.array([one.score for one in sorted(r.rank(query, docs), key=lambda o: o.index)]) for r in (reranker, exact)
    ]
    assert np.abs(both[0] - both[1]).max() <= 3 * found.largest
    assert np.corrcoef(*both)[0, 1] > 0.98
    np.testing.assert_array_equal(export.scorer(lists[7]).numpy(), reranker.scorer(lists[7]).numpy())


def test_products_are_kept_until_the_tolerance_is_met(folder, lists):
    kept = [len(quantise(opened(folder), lists[:6], Tolerance(tau), show).kept) for tau in (0.5, 0.999)]
    assert kept[0] == 0
    assert kept[1] > 0


def test_more_kept_products_are_nearer_to_the_exact_scores(folder, lists):
    loose, strict = (
        check(quantise(opened(folder), lists[:6], Tolerance(t), show), lists[6:], None, show) for t in (0.5, 0.9999)
    )
    assert len(strict.kept) > len(loose.kept) == 0
    assert strict.tau > loose.tau


def test_an_export_that_misses_the_tolerance_is_refused(export, lists, tmp_path):
    found = check(export, lists[6:], QRELS, show)
    export.write(tmp_path / "out", found, Tolerance(-0.9, 1))
    before = (tmp_path / "out" / "quantised.safetensors").stat().st_mtime_ns
    with pytest.raises(
        LtrError, match=rf"refused, nothing was written: Kendall's tau is {found.tau:.4f}, wanted at least 1[ ;]"
    ):
        export.write(tmp_path / "out", found, Tolerance(1))
    worse = dataclasses.replace(found, ndcg=0.5, exact_ndcg=0.51)
    with pytest.raises(LtrError, match=r"nDCG@10 goes from 0.5100 to 0.5000, wanted a change of at most 0.002"):
        export.write(tmp_path / "out", worse, Tolerance(0.5))
    assert [p.name for p in tmp_path.iterdir()] == ["out"]
    assert (tmp_path / "out" / "quantised.safetensors").stat().st_mtime_ns == before


def test_nothing_but_an_earlier_export_is_replaced(export, lists, folder, tmp_path):
    found = check(export, lists[6:], None, show)
    for place in (folder, str(tmp_path)):
        with pytest.raises(ConfigError, match=f"export: {place} is there and is no earlier export; give a new folder"):
            export.write(place, found, Tolerance(-0.9, 1))
    for _ in range(2):
        export.write(tmp_path / "out", found, Tolerance(-0.9, 1))
    assert Reranker.load(folder, "cpu", "32").precision == "float32", "the model itself is still there"


def test_files_of_the_user_beside_an_earlier_export_are_not_lost(export, lists, tmp_path):
    place, found = tmp_path / "out", check(export, lists[6:], None, show)
    export.write(place, found, Tolerance(-0.9, 1))
    check_place(place, export.exact)
    (place / "notes.txt").write_text("mine")
    (place / "more").mkdir()
    check_place(place)  # not known before the model is open
    for refused in (lambda: check_place(place, export.exact), lambda: export.write(place, found, Tolerance(-0.9, 1))):
        with pytest.raises(
            ConfigError, match=r"out holds more, notes\.txt, which is no part of an export and would be lost"
        ):
            refused()
    assert (place / "notes.txt").read_text() == "mine"
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_an_export_behind_a_link_is_replaced(export, lists, tmp_path):
    found = check(export, lists[6:], None, show)
    (tmp_path / "link").symlink_to(tmp_path / "out")
    for _ in range(2):
        export.write(tmp_path / "link", found, Tolerance(-0.9, 1))
    assert (tmp_path / "link").is_symlink()
    assert Reranker.load(tmp_path / "out").precision == "int8"
    assert {p.name for p in tmp_path.iterdir()} == {"out", "link"}


def test_a_place_that_cannot_be_written_is_told_up_front(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"cannot write .*/file/out: File exists; nothing was written"):
        check_place(tmp_path / "file" / "out")
    (tmp_path / "link").symlink_to(tmp_path / "file" / "out")
    with pytest.raises(DataError, match=r"cannot write .*/file/out: File exists; nothing was written"):
        check_place(tmp_path / "link")
    check_place(tmp_path / "new" / "out")
    assert list((tmp_path / "new").iterdir()) == []

    def refused(*args, **kwargs):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr("tempfile.mkdtemp", refused)
    with pytest.raises(DataError, match=r"cannot write .*/out: Read-only file system; nothing was written"):
        check_place(tmp_path / "out")


def test_a_gain_beyond_the_tolerance_is_refused_too():
    gain = Check(9, 90, 9, 1.0, 0, 1, 0.51, 0.5, 2, (), 5)
    assert gain.misses(Tolerance(0.9, 0.02)) == []
    assert gain.misses(Tolerance(0.9, 0.002)) == [
        "nDCG@10 goes from 0.5000 to 0.5100, wanted a change of at most 0.002"
    ]


def test_the_speed_is_that_of_later_passes(export, lists, monkeypatch):
    """A clock that only scoring moves: 6 s a list, 2 s with the export, and 1000 s more for what comes first."""
    clock, seen = [0.0], []
    true = exporting.score

    def timed(scorer, given, *more):
        first = scorer not in seen
        seen.append(scorer)
        for one in given:
            clock[0] += (1000 if first else 0) + (2 if scorer is export.scorer else 6)
            first = False
            yield from true(scorer, [one], *more)

    monkeypatch.setattr(exporting, "score", timed)
    monkeypatch.setattr(exporting, "time", SimpleNamespace(perf_counter=lambda: clock[0]))
    assert check(export, lists[6:], None, show).speedup == 3


def test_what_harms_most_for_its_size_is_kept_first(folder, lists, monkeypatch):
    """Each product is tried alone: the one whose integers are spoilt leads the order."""
    true = exporting.quantised_products

    def spoilt(*args):
        products = true(*args)
        products[0]["widen"]["weight"] = products[0]["widen"]["weight"].roll(1, 0)
        return products

    monkeypatch.setattr(exporting, "quantised_products", spoilt)
    orders = []
    order = exporting._most_harmful
    monkeypatch.setattr(exporting, "_most_harmful", lambda *args: orders.append(order(*args)) or orders[0])
    kept = quantise(opened(folder), lists[:6], Tolerance(0.9), show).kept
    assert orders[0][0] == (0, "widen")
    assert kept == ("layer 0 widen",)


@pytest.mark.parametrize("needed", range(5))
def test_the_least_is_kept_that_the_tolerance_needs(folder, lists, monkeypatch, needed):
    """Queries in the one layer that is quantised, then its three products."""
    kept, true = [], exporting.with_products

    def counted(full, products, activation, separator):
        whole = [tensors for layer in products for tensors in layer.values() if tensors["weight"].dtype == torch.int8]
        assert all(("precise" in tensors) == (separator is not None) for tensors in whole)
        kept.append(3 - len(whole) + (separator is not None))
        return true(full, products, activation, separator)

    monkeypatch.setattr(exporting, "with_products", counted)
    monkeypatch.setattr(exporting, "agreement", lambda *args: float(kept[-1] >= needed))
    made = quantise(opened(folder), lists[:1], Tolerance(0.9), show)
    assert kept[-1] == needed
    assert (made.careful, len(made.kept)) == (min(1, needed), max(0, needed - 1))


@pytest.mark.parametrize("needed", range(4))
def test_queries_are_kept_from_the_first_layer_on(lists, tmp_path, monkeypatch, needed):
    home = save_tiny(tmp_path / "four", head=True, num_hidden_layers=4)
    CrossEncoder(str(home)).save(tmp_path / "best", ModelSettings(60, 20))
    monkeypatch.setattr(exporting, "agreement", lambda wanted, found: float(len(careful) >= needed))
    true, careful = exporting.with_products, []

    def noted(full, products, *more):
        careful[:] = [i for i, layer in enumerate(products) if any("precise" in tensors for tensors in layer.values())]
        return true(full, products, *more)

    monkeypatch.setattr(exporting, "with_products", noted)
    made = quantise(opened(str(tmp_path / "best")), lists[:1], Tolerance(0.9), show)
    assert made.careful == needed
    assert [i for i, layer in enumerate(made.scorer.layers) if layer.precise] == list(range(needed))


def test_a_tenth_of_the_tolerance_is_left_for_other_queries(folder, lists, monkeypatch):
    for tau, kept in ((0.9099, 3), (0.9101, 0)):
        monkeypatch.setattr(exporting, "agreement", lambda *args, tau=tau: tau)
        assert len(quantise(opened(folder), lists[:1], Tolerance(0.9), show).kept) == kept


def test_without_a_separator_only_products_are_kept(folder, lists, monkeypatch):
    exact = opened(folder)
    template = PairTemplate.of(exact.tokenizer)
    without = dataclasses.replace(template, between=template.before[:1])
    monkeypatch.setattr(exporting.PairTemplate, "of", lambda tokenizer: without)
    made = quantise(exact, lists[:6], Tolerance(0.999), show)
    assert made.careful == 0
    assert made.kept
    assert made.scorer.separator is None


def test_figures_that_are_not_numbers_miss_every_tolerance():
    broken = Check(1, 2, 1, float("nan"), 0, 1, float("nan"), 0.5, 1, (), 5)
    assert len(broken.misses(Tolerance(-0.9, 1))) == 2


def test_without_judgements_only_scores_are_compared(export, lists):
    found = check(export, lists[6:], None, show)
    assert found.ndcg is None
    assert found.misses(Tolerance(0.5, 0)) == []


@pytest.mark.parametrize("bounds", [(1.1, 0.1), (-1, 0.1), (0.9, -0.1), (float("nan"), 0), (0.9, float("nan"))])
def test_tolerances_outside_their_range(bounds):
    with pytest.raises(ConfigError, match=r"min_tau must be in \(-1, 1\] and max_ndcg_change at least 0, got"):
        Tolerance(*bounds)


def test_architectures_that_are_not_known(tmp_path, lists):
    folder = str(save_tiny(tmp_path / "mpnet", "mpnet", head=True))
    with pytest.raises(ConfigError, match="cannot be quantised: its layers are none of bert"):
        quantise(opened(folder), lists, Tolerance(), show)


def test_agreement_is_scipys_tau_b_by_list():
    # list 1: one of three pairs is swapped; list 2 has nothing to say; list 3 lost all differences
    one = [np.array([1.0, 2, 3]), np.array([1.0, 1.0]), np.array([1.0, 2])]
    other = [np.array([1.0, 3, 2]), np.array([2.0, 1.0]), np.array([1.0, 1.0])]
    assert agreement(one, other) == pytest.approx((1 / 3 + 0) / 2)
    with pytest.raises(DataError, match="no query has two documents with different scores"):
        agreement([np.ones(3)], [np.arange(3.0)])


def test_an_exported_model_has_one_precision(export, lists, tmp_path):
    export.write(tmp_path / "out", check(export, lists[6:], None, show), Tolerance(0.5))
    with pytest.raises(ConfigError, match="was exported to 8-bit integers and has no other precision"):
        Reranker.load(tmp_path / "out", precision="32")


def test_an_exported_model_opens_where_there_is_a_gpu(export, lists, tmp_path, monkeypatch):
    from ltr.inference import scoring

    export.write(tmp_path / "out", check(export, lists[6:], None, show), Tolerance(0.5))
    monkeypatch.setattr(scoring.torch.cuda, "is_available", lambda: True)
    assert Reranker.load(tmp_path / "out").device.type == "cpu"
    with pytest.raises(ConfigError, match=r"stays on the CPU .* cannot go to meta .* load the model that it was made"):
        Reranker.load(tmp_path / "out", device="meta")


def test_models_that_read_passages_are_exported(folder, tmp_path):
    CrossEncoder(folder).save(tmp_path / "long", ModelSettings(24, 8, passages="max"))
    encoder = Reranker.load(tmp_path / "long", "cpu", "32").reader
    texts = [
        Texts(f"q{i}", "sort list", ["a", "b", "c"], [" ".join(WORDS[j : j + 25 + i]) for j in range(3)])
        for i in range(4)
    ]
    lists = [encoder.batch([one]) for one in texts]
    made = quantise(opened(str(tmp_path / "long")), lists[:2], Tolerance(-0.9), show)
    assert check(made, lists[2:], None, show).docs == 6


def test_ndcg_is_of_judged_queries(export, lists):
    assert check(export, lists[6:], {"other": {"d1": 1}}, show).ndcg is None
    found = check(export, lists[6:], {"q7": {"d1": 1}, "q9": {"d2": 1}, "other": {"d1": 1}}, show)
    assert found.judged == 2
    assert found.exact_ndcg is not None


def test_an_export_of_an_export(export, lists, tmp_path):
    export.write(tmp_path / "out", check(export, lists[6:], None, show), Tolerance(0.5))
    with pytest.raises(ConfigError, match="out is an export already; give the model that it was made from"):
        opened(str(tmp_path / "out"))


def test_an_export_that_gains_nothing_is_refused(folder, lists, tmp_path):
    made = quantise(opened(folder), lists[:6], Tolerance(1), show)
    with pytest.raises(LtrError, match="every product had to stay in bfloat16, so that nothing is faster than with"):
        made.write(tmp_path / "out", check(made, lists[6:], None, show), Tolerance(-0.9))


@pytest.mark.parametrize("kind", ["electra", "distilbert", "roberta"])
def test_other_architectures(kind, lists, tmp_path):
    CrossEncoder(str(save_tiny(tmp_path / kind, kind, head=True))).save(tmp_path / "best", ModelSettings(60, 20))
    made = quantise(opened(str(tmp_path / "best")), lists[:6], Tolerance(0.5), show)
    found = check(made, lists[6:], None, show)
    assert found.tau > 0.8
    made.write(tmp_path / "out", found, Tolerance(0.5))
    np.testing.assert_array_equal(
        made.scorer(lists[7]).numpy(), Reranker.load(tmp_path / "out").scorer(lists[7]).numpy()
    )


def test_what_is_exported_cuts_texts_as_ltr_does(folder, tmp_path):
    """At the same length, and at their ends: engines go by the tokenizer."""
    exact = opened(folder, max_length=20)
    exact.tokenizer.truncation_side = "left"
    describe(exact, exact.scorer.model.config, tmp_path)
    told = json.loads((tmp_path / "tokenizer_config.json").read_text())
    assert (told["model_max_length"], told.get("truncation_side", "right")) == (20, "right")
