"""Figures of a benchmark, against the same computed by hand from its cells."""

import json
import re
from collections import Counter

import numpy as np
import pytest
from scipy import stats

import ltr
from ltr.experiments.cells.runner import loaded, run
from ltr.experiments.cells.store import Store
from ltr.experiments.publishing import results as measuring
from ltr.experiments.publishing.paging import page_of
from ltr.experiments.publishing.publish import publish, tables_of
from ltr.experiments.publishing.results import FIRST, per_query, per_seed, results
from ltr.experiments.spec.reading import read_spec
from ltr.io.runs import Run
from ltr.metrics import evaluate, evaluate_labels
from ltr.metrics.measures.focus import top_share
from ltr.metrics.statistics import pooled_samples
from ltr.report.page.html import render
from tests.cli.feature_files import write_log
from tests.experiments.here import Here
from tests.experiments.pretend import Pretend, judged, labelled
from tests.experiments.specs import content, write


@pytest.fixture
def values(tiny_folder, tiny_model, tmp_path):
    found = content(tiny_folder, tiny_model, tmp_path / "runs")
    found["tuning"] = {"trials": 1}
    found["losses"]["MSE"] = "MSE()"
    found["tests"] = ["fisher", "student"]
    return found


@pytest.fixture
def measured(values, tmp_path):
    """Runs the spec with drawn scores, and measures what is finished."""

    def act(truths, **settings):
        spec = read_spec(write(tmp_path / "spec.yaml", values))
        groups = run(spec, Pretend(truths, **settings), lambda _: None)
        known = {name: truth for name, truth in truths.items() if any(g.seeds for g in groups if g.data_name == name)}
        return results(spec, groups, known)

    return act


def hand(truth, scores, measure):
    """[seeds, queries] of a judged measure, each run made from plain dictionaries."""
    found = []
    for row in scores:
        ranked = {
            q: {truth.doc_ids[j]: float(row[j]) for j in range(truth.offsets[i], truth.offsets[i + 1])}
            for i, q in enumerate(truth.query_ids)
        }
        found.append(evaluate(Run.from_dict(ranked), truth.qrels, [measure]).values[measure])
    return np.array(found)


def summary(found, system, measure, data=0):
    (one,) = [s for s in found.data[data].summaries if (s.system, str(s.measure)) == (system, measure)]
    return one


def the_contrast(found, system, measure, data="toy"):
    (one,) = [c for c in found.contrasts if (c.data, c.system, str(c.measure)) == (data, system, measure)]
    return one


@pytest.mark.parametrize("measure", ["mrr@10", "ndcg@10"])
def test_means_and_intervals_are_those_of_the_cells(measured, measure):
    truth = judged()
    found = measured({"toy": truth})
    for name in ("ListNet", "Selective", "MSE"):
        group = found.data[0].system(name).group
        by_hand = hand(truth, [group.seeds[s].scores for s in (0, 1)], measure)
        one = summary(found, name, measure)
        means = by_hand.mean(1)
        assert one.mean == pytest.approx(by_hand.mean())
        assert (one.seed_min, one.seed_max) == (pytest.approx(means.min()), pytest.approx(means.max()))
        assert one.seed_sd == pytest.approx(means.std(ddof=1))
        half = stats.t.ppf(0.975, 1) * stats.sem(means)
        assert (one.seed_low, one.seed_high) == (pytest.approx(means.mean() - half), pytest.approx(means.mean() + half))
        assert (one.n_seeds, one.n_queries) == (2, 15)
        again = stats.bootstrap((by_hand.mean(0),), np.mean, method="BCa", n_resamples=9999, rng=1).confidence_interval
        assert one.low == pytest.approx(again.low, abs=0.015)
        assert one.high == pytest.approx(again.high, abs=0.015)


@pytest.mark.parametrize("measure", ["mrr@10", "ndcg@10"])
def test_contrasts_are_those_of_paired_tests(measured, measure):
    truth = judged()
    found = measured({"toy": truth})
    queries = {
        name: hand(truth, found.data[0].system(name).scores, measure).mean(0)
        for name in ("ListNet", "Selective", "MSE")
    }
    for name in ("Selective", "MSE"):
        one = the_contrast(found, name, measure)
        difference = queries[name] - queries["ListNet"]
        assert one.baseline == "ListNet"
        assert one.difference == pytest.approx(difference.mean())
        assert one.effect == pytest.approx(difference.mean() / difference.std(ddof=1))
        assert (one.wins, one.ties, one.losses) == tuple(
            int(found.sum()) for found in (difference > 1e-12, abs(difference) <= 1e-12, difference < -1e-12)
        )
        assert one.p["student"] == pytest.approx(stats.ttest_rel(queries[name], queries["ListNet"]).pvalue)
        again = stats.permutation_test(
            (queries[name], queries["ListNet"]), lambda a, b: (a - b).mean(), permutation_type="samples",
            n_resamples=np.inf,
        )  # fmt: skip
        assert one.p["fisher"] == pytest.approx(again.pvalue, abs=0.01)


def test_holm_runs_over_the_contrasts_of_all_data_sets(measured, values):
    values["data"]["other"] = values["data"]["toy"]
    found = measured({"toy": judged(), "other": judged(25, 3)})
    assert {c.data for c in found.contrasts} == {"toy", "other"}
    assert len(found.contrasts) == 2 * 2 * 2, "data sets, measures, losses beside the baseline"
    for test in ("fisher", "student"):
        raw = np.array([c.p[test] for c in found.contrasts])
        order = np.argsort(raw)
        stepped = np.minimum(1, np.maximum.accumulate(raw[order] * (8 - np.arange(8))))
        assert [found.contrasts[i].adjusted[test] for i in order] == pytest.approx(stepped.tolist())
    for table in tables_of(found):
        assert "Holm-corrected over 8 comparisons" in table.markdown()


def test_the_first_stage_is_a_row_that_is_compared_with_nothing(measured):
    truth = judged()
    found = measured({"toy": truth})
    assert [s.name for s in found.data[0].systems] == [FIRST, "ListNet", "Selective", "MSE"]
    one = summary(found, FIRST, "mrr@10")
    assert one.mean == pytest.approx(hand(truth, truth.first[None], "mrr@10").mean())
    assert one.n_seeds == 1
    assert np.isnan(one.seed_sd)
    assert {c.system for c in found.contrasts} == {"Selective", "MSE"}
    assert ("toy", FIRST) not in found.costs()
    row = next(line for line in tables_of(found)[0].text().splitlines() if line.startswith(FIRST))
    assert "±" not in row


def test_data_without_a_first_stage_have_no_such_row(measured):
    found = measured({"toy": judged(first=False)})
    assert [s.name for s in found.data[0].systems] == ["ListNet", "Selective", "MSE"]


def test_costs_are_the_mean_time_and_the_peak_memory(measured):
    found = measured({"toy": judged()})
    assert found.costs()["toy", "MSE"] == {"seconds": 10.5, "memory MB": 101.0}


def test_values_per_query_and_per_seed(measured):
    truth = judged()
    found = measured({"toy": truth})
    frame, means = per_query(found), per_seed(found)
    assert list(frame.columns) == ["data", "system", "seed", "query_id", "mrr@10", "ndcg@10"]
    assert len(frame) == 15 * (1 + 3 * 2)
    for name in ("ListNet", "MSE"):
        for measure in ("mrr@10", "ndcg@10"):
            by_hand = hand(truth, found.data[0].system(name).scores, measure)
            for seed in (0, 1):
                own = frame[(frame.system == name) & (frame.seed == seed)]
                assert own.query_id.tolist() == list(truth.qrels)
                assert own[measure].tolist() == pytest.approx(by_hand[seed].tolist())
                (value,) = means[(means.system == name) & (means.seed == seed) & (means.measure == measure)]["value"]
                assert value == pytest.approx(by_hand[seed].mean())


def test_each_system_is_measured_once(values, tmp_path, monkeypatch):
    """The table, the page, the files and the contrasts share what was measured and drawn."""
    values["measures"] = ["mrr@10", "spearman", "ndcg_label@3"]
    spec = read_spec(write(tmp_path / "spec.yaml", values))
    groups = run(spec, Pretend({"toy": judged()}), lambda _: None)
    asked = Counter()

    def counting(module, name):
        real = getattr(module, name)
        monkeypatch.setattr(module, name, lambda *a, **k: (asked.update([name]), real(*a, **k))[1])

    counting(measuring, "evaluate")
    counting(measuring, "sample")
    counting(measuring, "contrast")
    counting(pooled_samples, "Resampled")
    publish(spec, groups, lambda _: None)
    assert asked == {
        "evaluate": 1 + 3 * 2 + 1,  # the first stage, three losses with two seeds, and the line of conventions
        "sample": 4 * 2,
        "contrast": 2 * 3,
        "Resampled": 1,  # all systems draw together
    }


def test_measures_of_other_queries_stand_beside_the_right_ones(measured, values):
    """Judgements name queries in their own order, and some that have no list; label measures go by lists."""
    truth = judged()
    order = list(reversed(truth.qrels))
    truth.qrels = {"lonely": {"d1": 1}, **{q: truth.qrels[q] for q in order}}
    values["measures"] = ["mrr@10", "ndcg_label@3"]
    found = measured({"toy": truth})
    frame = per_query(found)
    own = frame[(frame.system == "MSE") & (frame.seed == 1)].set_index("query_id")
    assert own.index.tolist() == ["lonely", *order]
    scores = found.data[0].system("MSE").scores[1]
    labelled = dict(
        zip(truth.query_ids, evaluate_labels(scores, truth, "ndcg_label@3").values["ndcg_label@3"], strict=True)
    )
    assert own["ndcg_label@3"][order].tolist() == [labelled[q] for q in order]
    assert np.isnan(own["ndcg_label@3"]["lonely"])
    assert own["mrr@10"]["lonely"] == 0
    queries = page_of(found, "signed").sections[0].queries
    shown = dict(zip(queries.query_ids, queries.values["ndcg_label@3"]["MSE"], strict=True))
    both = found.data[0].system("MSE").scores
    by_hand = np.mean([evaluate_labels(s, truth, "ndcg_label@3").values["ndcg_label@3"] for s in both], axis=0)
    assert [shown[q] for q in truth.query_ids] == pytest.approx(by_hand.tolist())


def test_a_baseline_that_has_not_finished(measured):
    found = measured({"toy": judged()}, fails=["ListNet"])
    assert [s.name for s in found.data[0].systems] == [FIRST, "Selective", "MSE"]
    assert found.contrasts == []
    assert [cell for cell, _ in found.failures] == [f"toy · tiny · ListNet · seed {s}" for s in (0, 1)]
    assert found.failures[0][1] == "it was to fail"
    assert len(tables_of(found)) == 1
    html = render(page_of(found, "signed"))
    assert "it was to fail" in html


def test_another_scorer_has_its_own_baseline(measured, values):
    values["scorers"]["second"] = values["scorers"]["tiny"]
    found = measured({"toy": judged()}, fails=["second · MSE"])
    pairs = {(c.system, c.baseline) for c in found.contrasts}
    assert pairs == {
        ("Selective · tiny", "ListNet · tiny"), ("MSE · tiny", "ListNet · tiny"), ("Selective · second", "ListNet · second")
    }  # fmt: skip


def test_where_the_baseline_lacks_a_scorer_the_first_one_serves(measured, values):
    values["scorers"]["second"] = values["scorers"]["tiny"]
    found = measured({"toy": judged()}, fails=["second · ListNet"])
    pairs = {(c.system, c.baseline) for c in found.contrasts}
    assert ("MSE · second", "ListNet · tiny") in pairs
    assert ("MSE · tiny", "ListNet · tiny") in pairs


def test_contrasts_take_the_seeds_that_both_have(measured, values):
    truth = labelled()
    values["measures"] = ["rmse", "ndcg_label@3"]
    values["monitor"] = "rmse"
    values["seeds"] = 3
    found = measured({"toy": truth}, fails=["MSE · seed 1"])
    one, base = (found.data[0].system(name) for name in ("MSE", "ListNet"))
    assert (one.seeds, base.seeds) == ([0, 2], [0, 1, 2])
    for measure in ("rmse", "ndcg_label@3"):
        ours, theirs = (
            np.mean([evaluate_labels(s.group.seeds[seed].scores, truth, [measure])[measure] for seed in (0, 2)])
            for s in (one, base)
        )
        assert the_contrast(found, "MSE", measure).difference == pytest.approx(ours - theirs)
        assert summary(found, "MSE", measure).n_seeds == 2
        assert summary(found, "ListNet", measure).n_seeds == 3
    assert found.failures == [("toy · tiny · MSE · seed 1", "it was to fail")]
    assert found.missing == []


def test_no_seed_in_common_is_no_contrast(measured):
    found = measured({"toy": judged()}, fails=["MSE · seed 1", "ListNet · seed 0"])
    assert {c.system for c in found.contrasts} == {"Selective"}


def test_what_is_missing_is_told(measured, values, tmp_path):
    values["tuning"] = {"trials": 2, "search": {"lr": {"low": 1e-4, "high": 1e-2, "log": True}}}
    spec = read_spec(write(tmp_path / "spec.yaml", values))
    truth = judged()
    with pytest.raises(KeyboardInterrupt):
        run(spec, Pretend({"toy": truth}, stop_after=7), lambda _: None)
    groups, _ = loaded(spec)
    found = results(spec, groups, {"toy": truth})
    assert found.missing == [
        "toy · tiny · ListNet: seeds 1 not run yet", "toy · tiny · Selective: seeds 0, 1 not run yet",
        "toy · tiny · MSE: seeds 0, 1 not run yet",
    ]  # fmt: skip
    html = render(page_of(found, "signed"))
    assert all(line in html for line in found.missing)
    values["folder"] = str(tmp_path / "failed")
    found = measured({"toy": truth}, fails=["MSE · trial"])
    assert found.missing == ["toy · tiny · MSE: all 2 trials failed, so no seed was trained"]


def test_cells_of_different_versions_are_told(values, tmp_path):
    """A benchmark that goes on after an upgrade compares losses of one version with those of another."""
    spec = read_spec(write(tmp_path / "spec.yaml", values))
    groups = run(spec, Pretend({"toy": judged()}), lambda _: None)
    said = []
    assert publish(spec, groups, said.append).notes == []
    for cell in groups[0].seeds.values():
        cell.record["versions"] = {**cell.record["versions"], "ltr": "0.0.1"}
    found = publish(spec, groups, said.append)
    (note,) = found.notes
    assert note.startswith("toy: its finished cells were made by different versions (2 by ltr 0.0.1, torch ")
    assert f"4 by ltr {ltr.__version__}, torch" in note
    assert f"! {note}" in said
    assert "were made by different versions" in (tmp_path / "runs" / "report.html").read_text()


def test_a_benchmark_of_which_nothing_ran_has_a_page(values, tmp_path):
    spec = read_spec(write(tmp_path / "spec.yaml", values))
    said = []
    found = publish(spec, loaded(spec)[0], said.append)
    assert (found.data, found.contrasts, len(found.missing)) == ([], [], 3)
    assert "not finished: toy · tiny · MSE: seeds 0, 1 not run yet" in said
    assert json.loads((tmp_path / "runs" / "results.json").read_text())["missing"] == found.missing
    assert not (tmp_path / "runs" / "per_query.parquet").exists()


def told(html):
    """What the page tells its script about queries."""
    return json.loads(re.search(r'<script type="application/json">(.*?)</script>', html, re.DOTALL)[1])


def test_texts_of_queries_reach_the_page(values, tmp_path):
    values["losses"].pop("Selective")
    values["seeds"] = 1
    spec = read_spec(write(tmp_path / "spec.yaml", values))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ltr.experiments.cells.cell.quieten", lambda: None)
        found = publish(spec, run(spec, Here(), lambda _: None), lambda _: None)
    facts = told((tmp_path / "runs" / "report.html").read_text())
    assert facts["ids"] == ["q3", "q4"]
    assert facts["texts"] == ["join paths", "read the lines of a file"]
    assert ["d5", "Paths Join two paths with a slash."] in facts["documents"]
    section = page_of(found, "signed").sections[0]
    assert set(section.curves[0].systems) == {"ListNet", "MSE"}
    assert [[step for step, _ in course] for course in section.curves[0].systems["MSE"]] == [[1, 2]]


@pytest.fixture
def engagement(tmp_path):
    """A benchmark on seconds, really trained."""
    log = write_log(tmp_path / "log.csv", 30)
    return {
        "name": "seconds",
        "folder": str(tmp_path / "runs"),
        "data": {
            "log": {
                "class_path": "EngagementData",
                "init_args": {"train": f"{log}[:50%]", "dev": f"{log}[50%:70%]", "test": f"{log}[70%:]"},
            }
        },
        "scorers": {"mlp": {"class_path": "MLPScorer", "init_args": {"hidden": [4]}}},
        "losses": {
            "MSE": "MSE()",
            "Exp 1": {"loss": "Matching(Exp(width=1.0))", "family": "Exp"},
            "Exp 2": {"loss": "Matching(Exp(width=2.0))", "family": "Exp"},
            "Huber": {"loss": "Huber()", "family": "alone", "data": {"standardise_label": True}},
        },
        "seeds": 2,
        "model": {"lr": 0.05},
        "trainer": {"max_epochs": 3, "accelerator": "cpu"},
        "monitor": "spearman",
        "measures": ["rmse_top.2", "rmse_rest.2", "spearman", "ndcg_label@2"],
        "baseline": "MSE",
        "tradeoff": ["rmse_top.2", "rmse_rest.2"],
    }


def test_seconds_are_measured_by_their_labels(engagement, tmp_path):
    spec = read_spec(write(tmp_path / "spec.yaml", engagement))
    found = publish(spec, run(spec, Here(), lambda _: None), lambda _: None)
    assert (found.failures, found.missing) == ([], [])
    (one,) = found.data
    assert one.truth.qrels is None
    assert one.truth.labels.tolist() == np.log1p(one.truth.gains).tolist(), "in full precision"
    assert one.conventions.count("(log(1 + seconds))") == 1
    constant, order = "constant (mean of train)", "random order"
    off = (one.truth.labels - one.truth.mean)[top_share(one.truth.labels, 0.2)]
    assert summary(found, constant, "rmse_top.2").mean == pytest.approx(np.sqrt((off**2).mean()))
    assert summary(found, order, "spearman").mean == 0
    tied = evaluate_labels(np.zeros(len(one.truth.labels)), one.truth, "ndcg_label@2")["ndcg_label@2"]
    assert summary(found, order, "ndcg_label@2").mean == tied
    assert not any((s.system, str(s.measure)) == (order, "rmse_top.2") for s in one.summaries)
    assert constant in (tmp_path / "runs" / "results.txt").read_text()
    for system in one.systems:
        for measure in engagement["measures"]:
            if system.name == "Huber" and measure.startswith("rmse"):  # it learnt labels in another unit
                assert not any((s.system, str(s.measure)) == ("Huber", measure) for s in one.summaries)
                continue
            by_hand = [evaluate_labels(row, one.truth, [measure])[measure] for row in system.scores]
            assert summary(found, system.name, measure).mean == pytest.approx(np.mean(by_hand))
    assert len(found.contrasts) == 3 * 4 - 2
    page = page_of(found, "signed")
    (picture,) = page.sections[0].tradeoffs
    assert (picture.x, picture.y, picture.baseline) == ("rmse_rest.2", "rmse_top.2", "MSE")
    assert picture.lines == {"Exp": ["Exp 1", "Exp 2"]}, "a family of one has no line"
    for point in picture.points:
        x, y = (summary(found, point.system, m) for m in ("rmse_rest.2", "rmse_top.2"))
        assert (point.x, point.y) == (x.mean, y.mean)
    queries = page.sections[0].queries
    assert list(queries.values) == ["ndcg_label@2"]
    assert not queries.texts
    facts = told((tmp_path / "runs" / "report.html").read_text())
    assert len(facts["ids"]) == 9
    assert not any(facts.get("texts") or [])


def test_a_loss_may_have_labels_in_another_unit(engagement, tmp_path):
    engagement["losses"]["Same"] = {"loss": "Huber()", "data": {"standardise_label": False}}
    spec = read_spec(write(tmp_path / "spec.yaml", engagement))
    groups = {g.loss_name: g for g in loaded(spec)[0]}
    arguments = {name: group.example().data["init_args"] for name, group in groups.items()}
    assert "standardise_label" not in arguments["MSE"]
    assert arguments["Huber"]["standardise_label"] is True
    assert arguments["Same"]["standardise_label"] is False
    assert spec.data["log"]["init_args"].keys() == {"train", "dev", "test"}, "the spec itself is not changed"


@pytest.mark.parametrize("order", [["MSE", "Other"], ["Other", "MSE"], ["Other"]])
def test_labels_are_measured_in_the_unit_of_the_spec_whichever_cell_ends_first(engagement, tmp_path, order):
    known = {"MSE": "MSE()", "Other": {"loss": "MSE()", "data": {"standardise_label": True}}}
    engagement |= {"losses": {name: known[name] for name in order}, "baseline": order[0], "seeds": 1}
    spec = read_spec(write(tmp_path / "spec.yaml", engagement))
    groups = run(spec, Here(), lambda _: None)
    assert all(cell.finished for group in groups for cell in group.cells)
    truth = Store(spec.folder).truth("log")
    unit = np.log1p(truth.gains)
    if "MSE" in order:
        np.testing.assert_allclose(truth.labels, unit, rtol=1e-5)
    else:
        assert abs(truth.labels.mean()) < 1, "no cell has the labels of the spec's own data"


def test_a_test_part_that_is_gone_is_missed(engagement, tmp_path):
    spec = read_spec(write(tmp_path / "spec.yaml", engagement))
    groups = run(spec, Here(), lambda _: None)
    (tmp_path / "runs" / "truth" / "log.npz").unlink()
    found = publish(spec, groups, lambda _: None)
    assert found.data == []
    assert len(found.missing) == 1
    assert "log: its test part is gone from the folder truth/" in found.missing[0]
