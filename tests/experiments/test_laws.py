"""What makes a comparison fair: no loss's figures depend on which others stand beside it."""

import json

import pytest

from ltr.experiments.cells.runner import run
from ltr.experiments.spec.plan import groups
from ltr.experiments.spec.reading import read_spec
from tests.experiments.here import Here
from tests.experiments.pretend import Pretend, judged
from tests.experiments.specs import content, write

LOSSES = {
    "ListNet": "ListNet()",
    "Selective": {
        "loss": "CompositeSoftmax(Identity() + Softplus(center={center}), targets=Positives())",
        "search": {"center": {"low": 0.0, "high": 2.0}},
    },
    "BCE": "BCE()",
}


@pytest.fixture
def ran(tiny_folder, tiny_model, tmp_path):
    """Runs the benchmark of some losses, in their order, in a folder of its own."""

    def act(*names, executor=None, **changes):
        folder = tmp_path / "-".join(names)
        values = {**content(tiny_folder, tiny_model, folder), **changes}
        values |= {"losses": {name: LOSSES[name] for name in names}, "baseline": names[0]}
        values["trainer"]["max_epochs"] = 1
        spec = read_spec(write(tmp_path / "spec.yaml", values))
        return {g.loss_name: g for g in run(spec, executor or Here(), lambda _: None)}

    return act


def figures(group):
    trials = [(cell.record["params"], cell.value) for _, cell in sorted(group.trials.items())]
    seeds = [(seed, cell.value, cell.course, cell.scores.tolist()) for seed, cell in sorted(group.seeds.items())]
    return {"trials": trials, "chosen": group.chosen, "seeds": json.loads(json.dumps(seeds))}


def test_a_loss_does_not_depend_on_the_others_nor_on_their_order(ran):
    alone = figures(ran("Selective", seeds=1)["Selective"])
    first = ran("Selective", "BCE", "ListNet", seeds=1)
    last = ran("ListNet", "Selective", seeds=1)
    assert len(alone["trials"]) == 2
    assert figures(first["Selective"]) == alone
    assert figures(last["Selective"]) == alone
    assert figures(first["ListNet"]) == figures(last["ListNet"])


def test_seeds_and_trials_are_trained_with_their_own_seed(ran):
    found = ran("ListNet")["ListNet"]
    seeds = [cell.record["task"]["seed"] for cell in found.seeds.values()]
    assert seeds == [0, 1]
    assert {cell.record["task"]["seed"] for cell in found.trials.values()} == {1000}
    assert found.seeds[0].scores.tolist() != found.seeds[1].scores.tolist()


@pytest.mark.parametrize("trials", [1, 2, 5])
def test_every_loss_has_the_same_number_of_trials(ran, trials):
    tuning = {"trials": trials, "search": {"lr": {"low": 1e-4, "high": 1e-2, "log": True}}}
    executor = Pretend({"toy": judged()})
    found = ran("ListNet", "Selective", "BCE", executor=executor, tuning=tuning)
    counts = {name: sum(f"· {name} · trial" in title for title in executor.ran) for name in LOSSES}
    assert set(counts.values()) == {trials if trials > 1 else 0}
    assert all(len(group.trials) == group.n_trials for group in found.values())
    starts = {group.trials[0].record["params"]["lr"] for group in found.values() if group.trials}
    assert len(starts) <= 1, "all begin at the same learning rate"


def test_trials_never_score_the_test_part_and_seeds_always_do(tiny_folder, tiny_model, tmp_path):
    spec = read_spec(write(tmp_path / "spec.yaml", content(tiny_folder, tiny_model, tmp_path / "runs")))
    executor = Pretend({"toy": judged()})
    asked = []
    executor.submit = lambda task, submit=executor.submit: (asked.append((task.run, task.test)), submit(task))
    run(spec, executor, lambda _: None)
    assert len(asked) == sum(group.n_cells for group in groups(spec)) == 8
    assert all(test == name.startswith("seed-") for name, test in asked)


def test_seeds_take_the_trial_that_dev_likes_best_in_either_direction(ran):
    for monitor, best in (("ndcg@10", max), ("rmse", min)):
        name = {"monitor": monitor, "measures": [monitor] if monitor == "rmse" else ["mrr@10"]}
        tuning = {"trials": 4, "search": {"lr": {"low": 1e-4, "high": 1e-2, "log": True}}}
        order = ("BCE", "ListNet") if best is max else ("ListNet", "BCE")  # folders of their own
        for group in ran(*order, executor=Pretend({"toy": judged()}), tuning=tuning, **name).values():
            values = {cell.value: cell.record["params"] for cell in group.trials.values()}
            assert group.chosen == values[best(values)]
            assert {json.dumps(cell.record["params"]) for cell in group.seeds.values()} == {json.dumps(group.chosen)}
