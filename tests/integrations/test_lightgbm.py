"""LambdaMART through ltr is LightGBM called directly; it stops by our measures, and refuses what LightGBM would mangle."""

from __future__ import annotations

import sys
from math import log2

import numpy as np
import pytest

from ltr.data import LetorData
from ltr.errors import ConfigError, DataError, MissingExtra
from ltr.integrations import lightgbm as adapter
from ltr.integrations.lightgbm import LambdaMART
from ltr.io.labelled import LabelledLists
from ltr.io.runs import Run
from ltr.metrics import evaluate, evaluate_labels
from tests.integrations.toy import made, written

lightgbm = pytest.importorskip("lightgbm")

SMALL = {"n_estimators": 30, "num_leaves": 7, "min_data_in_leaf": 5}


@pytest.fixture(scope="module")
def fold(tmp_path_factory):
    return written(tmp_path_factory.mktemp("lightgbm") / "Fold1")


@pytest.fixture(scope="module")
def data(fold):
    return made(fold)


@pytest.fixture(scope="module")
def fitted(data):
    ranker = LambdaMART(**SMALL, early_stopping=8)
    ranker.fit(data, "ndcg@10", seed=0)
    return ranker


def flat(data, part):
    """Matrix, labels and list sizes of a part, as anyone would hand them to LightGBM."""
    whole = data.whole(part)
    return whole.features.numpy(), whole.labels.numpy(), whole.list_offsets.diff().numpy()


def directly(data, rounds, **settings):
    """LightGBM's own call, without anything of ltr."""
    given = {
        "objective": "lambdarank", "num_leaves": 7, "min_data_in_leaf": 5, "learning_rate": 0.1, "seed": 0,
        "deterministic": True, "force_row_wise": True, "num_threads": 1, "verbosity": -1,
    } | settings  # fmt: skip
    features, labels, sizes = flat(data, "train")
    group = sizes if "rank" in given["objective"] else None
    return lightgbm.train(given, lightgbm.Dataset(features, labels, group=group), num_boost_round=rounds)


def plain_ndcg(scores, labels, sizes, doc_ids, k=10):
    """Mean nDCG@k with linear gain by plain loops; ties by document id, descending, as trec_eval breaks them."""
    values, start = [], 0
    for size in sizes.tolist():
        own = range(start, start + size)
        ranked = sorted(own, key=lambda i: (np.float32(scores[i]), doc_ids[i]), reverse=True)
        ideal = sorted((labels[i] for i in own), reverse=True)
        dcg, best = (
            sum(g / log2(r + 2) for r, g in enumerate(gains[:k])) for gains in ([labels[i] for i in ranked], ideal)
        )
        values.append(dcg / best if best else 0.0)
        start += size
    return sum(values) / len(values)


def ndcg_of(data, part, scores):
    """nDCG@10 as ltr measures it."""
    whole = data.whole(part)
    run = Run(whole.query_ids, whole.list_offsets.numpy(), whole.doc_ids, scores)
    return evaluate(run, data.part(part).qrels, "ndcg@10")["ndcg@10"]


@pytest.mark.parametrize("objective", ["lambdarank", "rank_xendcg", "regression", "huber"])
def test_equals_lightgbm_called_directly(data, objective):
    ranker = LambdaMART(**SMALL, early_stopping=0, objective=objective)
    ranker.fit(data)
    assert ranker.rounds == 30
    wanted = directly(data, 30, objective=objective)
    for part in ("dev", "test"):
        features, labels, sizes = flat(data, part)
        scores = ranker.predict(data, part)
        assert np.array_equal(scores, wanted.predict(features))
        ndcg = plain_ndcg(wanted.predict(features), labels.tolist(), sizes, data.whole(part).doc_ids)
        assert ndcg_of(data, part, scores) == pytest.approx(ndcg, abs=1e-9)
        assert ndcg > 0.6
    assert ranker.best_value == pytest.approx(ndcg_of(data, "dev", ranker.predict(data, "dev")), abs=1e-12)


@pytest.mark.shared
@pytest.mark.parametrize("objective", ["lambdarank", "regression"])
def test_equals_lightgbm_called_directly_on_mq2008(shared_data, objective):
    folder = shared_data / "letor-mq2008"
    data = LetorData(str(folder / "train.txt.gz"), str(folder / "vali.txt.gz"), str(folder / "vali.txt.gz"))
    data.prepare_data()
    data.setup()
    ranker = LambdaMART(n_estimators=100, num_leaves=7, min_data_in_leaf=5, early_stopping=0, objective=objective)
    ranker.fit(data)
    wanted = directly(data, 100, objective=objective)
    features, labels, sizes = flat(data, "test")
    assert np.array_equal(ranker.predict(data, "test"), wanted.predict(features))
    ndcg = plain_ndcg(wanted.predict(features), labels.tolist(), sizes, data.whole("test").doc_ids)
    assert ndcg_of(data, "test", ranker.predict(data, "test")) == pytest.approx(ndcg, abs=1e-9)
    assert ndcg > 0.45


def test_stops_where_dev_is_best(data, fitted):
    values = [row["dev/ndcg@10"] for row in fitted.course]
    assert [row["step"] for row in fitted.course] == list(range(1, len(values) + 1))
    assert fitted.rounds == 1 + int(np.argmax(values)) < len(values)
    assert len(values) in (fitted.rounds + 8, 30)
    assert fitted.best_value == max(values)
    assert fitted.best_value == pytest.approx(ndcg_of(data, "dev", fitted.predict(data, "dev")), abs=1e-12)
    # the trees after the best round do not count
    features, _, _ = flat(data, "dev")
    assert np.array_equal(fitted.predict(data, "dev"), directly(data, fitted.rounds).predict(features))


def test_grades_of_dev_beyond_those_of_train_are_measured(tmp_path):
    folder = written(tmp_path / "fold", grades=3)
    lines = (folder / "vali.txt").read_text().splitlines()
    (folder / "vali.txt").write_text("\n".join([lines[0].replace(lines[0].split()[0], "9", 1), *lines[1:]]) + "\n")
    ranker = LambdaMART(**SMALL, label_gain=[0, 1, 3])
    ranker.fit(made(folder))
    assert 0 < ranker.best_value <= 1


@pytest.mark.parametrize("monitor", ["rmse", "spearman_top.2", "ndcg_label@10"])
def test_real_labels_are_monitored_by_measures_of_labels(tmp_path, monitor):
    data = made(written(tmp_path / "fold", real=True), labels="real")
    if monitor == "ndcg_label@10":
        learnt = data.labels_of("dev")  # were these logarithms, the file would hold
        read = LabelledLists(learnt.query_ids, learnt.offsets, learnt.labels, np.exp(learnt.labels))
        data.labels_of = {"dev": read}.get
    ranker = LambdaMART(**SMALL, early_stopping=5, objective="regression")
    ranker.fit(data, monitor)
    whole = data.whole("dev")
    labels = data.labels_of("dev")
    truth = LabelledLists(whole.query_ids, whole.list_offsets.numpy(), labels.labels, labels.gains)
    wanted = evaluate_labels(ranker.predict(data, "dev"), truth, monitor)[monitor]
    assert ranker.best_value == pytest.approx(wanted, abs=1e-12)
    values = [row[f"dev/{monitor}"] for row in ranker.course]
    assert ranker.best_value == (np.nanmin(values) if monitor == "rmse" else np.nanmax(values))


def test_negative_gains_are_refused_before_the_first_round(tmp_path):
    data = made(written(tmp_path / "fold", real=True), labels="real")
    known = data.labels_of("dev")
    negative = LabelledLists(known.query_ids, known.offsets, known.labels, known.gains - 1e6)
    data.labels_of = {"dev": negative}.get
    ranker = LambdaMART(**SMALL, objective="regression")
    with pytest.raises(
        DataError, match=r"^LambdaMART: dev: ndcg_label@10 sums up labels as gains, which must be 0 or more"
    ):
        ranker.fit(data, "ndcg_label@10")


def test_undefined_values_are_reported_and_never_chosen(tmp_path):
    # no leaf can be split, all predictions are equal, and nothing correlates with them
    data = made(written(tmp_path / "fold", real=True), labels="real")
    ranker = LambdaMART(n_estimators=3, min_data_in_leaf=10_000, objective="regression")
    with pytest.raises(ConfigError, match=r"^LambdaMART: dev/spearman was never a number, so no round could be chosen"):
        ranker.fit(data, "spearman")
    with pytest.raises(ConfigError, match=r"^LambdaMART: there is no model yet"):
        ranker.predict(data, "dev")


def test_weights_of_lists_and_of_documents_count(data, fitted):
    def weighted(**weights):
        batch = data.whole("train")
        made = type(batch).of(
            batch.features.numpy(), batch.list_offsets.numpy(), batch.labels.numpy(), query_ids=batch.query_ids,
            doc_ids=batch.doc_ids, **weights,
        )  # fmt: skip
        ranker = LambdaMART(**SMALL, early_stopping=0)
        ranker.fit(Stand(data, train=made))
        return ranker.predict(data, "test")

    sizes = flat(data, "train")[2]
    by_list = 1.0 + np.arange(len(sizes)) % 3
    features, labels, _ = flat(data, "train")
    each = np.repeat(by_list, sizes)
    given = fitted.settings(0) | {"early_stopping_round": 0}
    direct = lightgbm.train(given, lightgbm.Dataset(features, labels, weight=each, group=sizes), num_boost_round=30)
    wanted = direct.predict(flat(data, "test")[0])
    assert np.array_equal(weighted(weights=by_list), wanted)
    assert np.array_equal(weighted(weights=each), wanted)
    assert not np.array_equal(weighted(), wanted)


class Stand:
    """A data module one of whose parts is another batch."""

    def __init__(self, data, **parts):
        self.data, self.parts = data, parts

    def whole(self, part):
        return self.parts[part] if part in self.parts else self.data.whole(part)

    def __getattr__(self, name):
        return getattr(self.data, name)


def test_the_same_seed_gives_the_same_trees(data):
    def scores(**settings):
        seed = settings.pop("seed", 0)
        ranker = LambdaMART(**SMALL, feature_fraction=0.5, bagging_fraction=0.7, **settings)
        ranker.fit(data, seed=seed)
        return ranker.predict(data, "test")

    assert np.array_equal(scores(), scores())
    assert np.array_equal(scores(), scores(num_threads=2))
    assert not np.array_equal(scores(), scores(seed=1))


def test_a_saved_model_comes_back(data, fitted, tmp_path):
    fitted.save(tmp_path / "model.txt")
    loaded = LambdaMART.load(tmp_path / "model.txt")
    assert np.array_equal(loaded.predict(data, "test"), fitted.predict(data, "test"))
    assert loaded.rounds == fitted.rounds
    assert loaded.settings(0) == fitted.settings(0)
    assert (loaded.n_estimators, loaded.early_stopping) == (30, 8)
    assert np.isnan(loaded.best_value)
    assert loaded.course == []
    assert np.array_equal(loaded.importances(), fitted.importances())
    # LightGBM itself reads it
    booster = lightgbm.Booster(model_file=str(tmp_path / "model.txt"))
    assert np.array_equal(booster.predict(flat(data, "test")[0]), fitted.predict(data, "test"))


def test_gains_survive_saving(data, tmp_path):
    ranker = LambdaMART(**SMALL, label_gain=[0, 1, 2, 3.5], early_stopping=0)
    ranker.fit(data)
    ranker.save(tmp_path / "model.txt")
    assert LambdaMART.load(tmp_path / "model.txt").label_gain == [0, 1, 2, 3.5]
    assert not np.array_equal(ranker.predict(data, "test"), directly(data, 30).predict(flat(data, "test")[0]))


@pytest.mark.parametrize("content", ["", "hello\n", "tree\nversion=v4\nnothing else\n"])
def test_files_that_hold_no_model_are_refused(tmp_path, content):
    path = tmp_path / "model.txt"
    path.write_text(content)
    with pytest.raises(DataError, match=rf"^{path}: not a LambdaMART that ltr saved: "):
        LambdaMART.load(path)


def test_importances_find_the_features_that_tell(fitted):
    gain, splits = fitted.importances(), fitted.importances("split")
    assert set(np.argsort(gain)[-2:].tolist()) == {0, 3}
    assert splits.sum() == fitted.rounds * 6  # trees of seven leaves
    with pytest.raises(ConfigError, match=r"^LambdaMART: importances are of kind 'gain' or 'split', got 'shap'"):
        fitted.importances("shap")


def test_unfitted_models_say_so(data):
    ranker = LambdaMART()
    for use in (lambda: ranker.predict(data, "dev"), lambda: ranker.best_value, ranker.importances):
        with pytest.raises(ConfigError, match=r"^LambdaMART: there is no model yet; call fit, or LambdaMART.load"):
            use()


def test_other_features_than_those_of_training_are_refused(tmp_path, fitted):
    other = made(written(tmp_path / "other"), n_features=9)
    with pytest.raises(DataError, match=r"^LambdaMART: the model was trained with 6 features, got 9 in test; use"):
        fitted.predict(other, "test")


def changed(data, part="train", labels=None, **fields):
    """The data with another batch for a part."""
    whole = data.whole(part)
    kept = {"features": whole.features.numpy(), "list_offsets": whole.list_offsets.numpy()}
    kept |= {"query_ids": whole.query_ids, "doc_ids": whole.doc_ids}
    return Stand(data, **{part: type(whole).of(**(kept | {"labels": labels} | fields))})


def with_label(data, at, label, part="train"):
    labels = data.whole(part).labels.numpy().copy()
    labels[at] = label
    return changed(data, part, labels)


@pytest.mark.parametrize("objective", ["lambdarank", "rank_xendcg"])
def test_labels_that_are_no_grades_are_refused(data, objective):
    ranker = LambdaMART(**SMALL, objective=objective)
    said = (
        rf"^LambdaMART: {objective} needs whole grades, got 1.5 at query t1, document \S+ of train; set objective='reg"
    )
    with pytest.raises(DataError, match=said):
        ranker.fit(with_label(data, 6, 1.5))
    with pytest.raises(
        DataError, match=rf"^LambdaMART: {objective} needs grades from 0 up, got -1 at query t0, document"
    ):
        ranker.fit(with_label(data, 2, -1))
    with pytest.raises(
        DataError, match=r"^LambdaMART: grades must be below 31, the number of gains, got 31 at query t0"
    ):
        ranker.fit(with_label(data, 0, 31))
    with pytest.raises(DataError, match=r"^LambdaMART: grades must be below 2, .*; give label_gain one for each grade"):
        LambdaMART(objective=objective, label_gain=[0, 1]).fit(data)


@pytest.mark.parametrize("part", ["train", "dev"])
def test_labels_that_are_not_finite_are_refused(data, part):
    for label in (np.nan, np.inf):
        with pytest.raises(
            DataError, match=rf"^LambdaMART: labels must be finite, got {label:g} at query .0, document \S+ of {part}"
        ):
            LambdaMART(**SMALL, objective="regression").fit(with_label(data, 1, label, part))


def test_parts_without_labels_or_documents_are_refused(data):
    with pytest.raises(DataError, match=r"^LambdaMART: the dev part has no labels"):
        LambdaMART(**SMALL).fit(changed(data, "dev"))
    nothing = {"features": np.zeros((0, 6)), "list_offsets": np.zeros(1, int), "query_ids": [], "doc_ids": []}
    with pytest.raises(DataError, match=r"^LambdaMART: the train part holds no documents"):
        LambdaMART(**SMALL).fit(changed(data, **nothing))


def test_a_part_without_documents_has_no_scores(data, fitted):
    nothing = {"features": np.zeros((0, 6)), "list_offsets": np.zeros(1, int), "query_ids": [], "doc_ids": []}
    assert fitted.predict(changed(data, "test", **nothing), "test").shape == (0,)


def test_lists_longer_than_lambdarank_takes_are_refused(data):
    long = {"features": np.zeros((10_001, 6)), "list_offsets": np.array([0, 10_001]), "query_ids": ["q"]}
    long |= {"doc_ids": [f"d{i}" for i in range(10_001)], "labels": np.zeros(10_001)}
    with pytest.raises(
        DataError, match=r"^LambdaMART: lambdarank takes lists of at most 10,000 documents, got 10,001 for query q; cut"
    ):
        LambdaMART(**SMALL).fit(changed(data, **long))


def test_measures_that_the_labels_do_not_allow_are_refused(tmp_path):
    data = made(written(tmp_path / "fold", real=True), labels="real")
    with pytest.raises(ConfigError, match=r"^LambdaMART: ndcg@10 needs whole-number judgements, and the labels of dev"):
        LambdaMART(**SMALL, objective="regression").fit(data)


def test_early_stopping_needs_dev(fold):
    data = LetorData(train=str(fold / "train.txt"), test=str(fold / "test.txt"))
    data.prepare_data()
    data.setup("fit")
    with pytest.raises(
        ConfigError, match=r"^LambdaMART: early_stopping needs dev lists to measure on, .* early_stopping=0"
    ):
        LambdaMART(**SMALL).fit(data)
    ranker = LambdaMART(**SMALL, early_stopping=0)
    ranker.fit(data)
    assert ranker.rounds == 30
    assert ranker.course == []
    assert np.isnan(ranker.best_value)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"n_estimators": 0}, "n_estimators must be a whole number, at least 1, got 0"),
        ({"num_leaves": 1}, "num_leaves must be a whole number, at least 2, got 1"),
        ({"num_leaves": 2.5}, r"num_leaves must be a whole number, at least 2, got 2\.5"),
        ({"learning_rate": 0.0}, r"learning_rate must be a number, above 0, got 0\.0"),
        ({"learning_rate": float("nan")}, "learning_rate must be a number, above 0, got nan"),
        ({"feature_fraction": 1.5}, r"feature_fraction must be a number, above 0 and at most 1, got 1\.5"),
        ({"early_stopping": True}, "early_stopping must be a whole number, at least 0, got True"),
        ({"objective": "lambdarnk"}, "objective must be one of .*, got 'lambdarnk'; did you mean 'lambdarank'"),
        ({"label_gain": []}, r"label_gain must be gains from grade 0 up, at least 0, got \[\]"),
        ({"label_gain": [0, -1]}, r"label_gain must be gains from grade 0 up, at least 0, got \[0, -1\]"),
    ],
)
def test_settings_are_checked(settings, said):
    with pytest.raises(ConfigError, match=f"^LambdaMART: {said}"):
        LambdaMART(**settings)


def test_a_missing_package_names_its_extra(monkeypatch, data):
    monkeypatch.setitem(sys.modules, "lightgbm", None)
    said = r"lightgbm is needed to train and use LambdaMART, and is not installed: pip install 'ltr\[gbdt\]'"
    with pytest.raises(MissingExtra, match=said):
        LambdaMART().fit(data)


def test_a_missing_system_library_is_named(monkeypatch, tmp_path):
    (tmp_path / "lightgbm.py").write_text('raise OSError("libgomp.so.1: cannot open shared object file")\n')
    monkeypatch.delitem(sys.modules, "lightgbm")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigError, match=r"^LambdaMART: lightgbm is installed but does not load: libgomp.*libgomp1"):
        adapter.imported()


@pytest.mark.parametrize("home", ["ltr.integrations", "ltr.integrations.lightgbm"])
def test_the_benchmark_builds_it_from_a_spec(data, home):
    from ltr.experiments.spec.building import build, check_parts

    spec = {
        "class_path": f"{home}.LambdaMART",
        "init_args": {"n_estimators": 5, "label_gain": [0, 1, 3, 7]},
    }
    check_parts("rankers", spec)
    ranker = build("rankers", spec)
    ranker.fit(data, "ndcg@10", 0)
    assert ranker.predict(data, "test").shape == (data.whole("test").n_docs,)
