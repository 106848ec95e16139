"""Expressions, mappings and classes of the user's own in a spec, here and in worker processes."""

import pytest
import yaml

from ltr.errors import ConfigError
from ltr.experiments.cells.runner import run
from ltr.experiments.cells.workers import Processes
from ltr.experiments.spec.reading import read_spec
from ltr.expressions import value_of
from ltr.links import Sigmoid
from tests.cli.feature_files import write_fold
from tests.experiments.here import Here
from tests.own_classes import own  # noqa: F401

pytestmark = [pytest.mark.filterwarnings("ignore:.*smaller than the logging interval.*")]


@pytest.fixture
def spec_of(own, tmp_path):  # noqa: F811
    """Reads a spec on tiny features, with other losses."""
    fold = write_fold(tmp_path / "Fold1", lists=4)

    def read(losses, *overrides, **changes):
        content = {
            "name": "own",
            "folder": str(tmp_path / "runs"),
            "data": {"toy": f"LetorData(fold='{fold}', lists_per_batch=4)"},
            "scorers": {"linear": f"{own}.Wide()"},
            "losses": losses,
            "seeds": 1,
            "trainer": {"max_epochs": 1, "accelerator": "cpu"},
            "monitor": "mrr@10",
            "measures": ["mrr@10"],
            "baseline": next(iter(losses)),
            **changes,
        }
        path = tmp_path / "spec.yaml"
        path.write_text(yaml.safe_dump(content, sort_keys=False))
        return read_spec(path, overrides)

    return read


def test_expressions_and_mappings_say_the_same(spec_of, own, tmp_path):  # noqa: F811
    as_text = spec_of({"A": f"{own}.Mine(alpha=2, targets={own}.Half())", "B": "Matching(2 * Exp(width=1.5))"})
    as_mapping = spec_of(
        {
            "A": {"class_path": f"{own}.Mine", "init_args": {"alpha": 2, "targets": {"class_path": f"{own}.Half"}}},
            "B": {"loss": {"class_path": "Matching", "init_args": {"link": "2 * Exp(width=1.5)"}}},
        },
        scorers={"linear": {"class_path": f"{own}.Wide"}},
        data={
            "toy": {
                "class_path": "ltr.data.LetorData",
                "init_args": {"fold": f"{tmp_path}/Fold1", "lists_per_batch": 4},
            }
        },
    )
    assert as_mapping == as_text
    assert as_text.losses["A"].loss == f"{own}.Mine(alpha=2, targets={own}.Half())"
    assert spec_of({"A": "Matching(Exp())"}).losses["A"].packages == set()
    assert spec_of({"A": f"Matching(Numeric('{own}:steep'))"}).losses["A"].packages == {own}
    (tmp_path / "again.yaml").write_text(as_text.yaml())
    assert read_spec(tmp_path / "again.yaml") == as_text


def test_a_search_fills_mappings_and_chooses_expressions(spec_of):
    link = {"class_path": "Exp", "init_args": {"width": "{w}"}}
    spec = spec_of(
        {
            "A": {
                "loss": {"class_path": "Matching", "init_args": {"link": link, "targets": {"targets": None}}},
                "search": {
                    "w": {"low": 1, "high": 3},
                    "targets": {
                        "choices": ["Scores()", {"class_path": "Grades", "init_args": {"scores_by_grade": [0, 1, 5]}}]
                    },
                },
            },
            "B": {
                "loss": "CompositeSoftmax({link})",
                "search": {"link": {"choices": ["Exp() + Identity()", "Tanh()"]}},
            },
        }
    )
    assert spec.losses["A"].loss == "Matching(Exp(width={w}), targets={targets})"
    filled = spec.losses["A"].filled({"w": 2.0, "targets": spec.losses["A"].search["targets"].choices[1]})
    assert filled == "Matching(Exp(width=2.0), targets=(Grades(scores_by_grade=[0, 1, 5])))"
    assert spec.losses["B"].filled({"link": "Exp() + Identity()"}) == "CompositeSoftmax((Exp() + Identity()))"


def test_a_focus_is_that_of_each_cells_training_labels(spec_of):
    spec = spec_of(
        {
            "A": {
                "loss": "Matching(Sigmoid.focus(top={share}), targets=Grades([0, 0, 5]))",  # 0 and 1 are worth the same
                "search": {"share": {"low": 0.3, "high": 0.32}},
            }
        },
        tuning={"trials": 1},
    )
    cells = run(spec, Here(), lambda text: None)[0].cells
    assert len(cells) == 1
    assert all(cell.finished for cell in cells), [cell.record for cell in cells]
    for cell in cells:
        share = cell.record["params"]["share"]
        link = Sigmoid.focus(scores=[0.0] * 8 + [5.0] * 4, top=share)
        assert cell.record["loss"].startswith(f"Matching(link={link!r}")


def test_settings_change_inside_an_expression(spec_of):
    spec = spec_of({"A": "ListNet()"}, "data.toy.init_args.lists_per_batch=2")
    assert spec.data["toy"]["init_args"]["lists_per_batch"] == 2


@pytest.mark.parametrize(
    ("losses", "changes", "said"),
    [
        (
            {"A": "nolib.Mine()"},
            {},
            r"spec.yaml:\d+: loss 'A': expression .*, character 1: No module named 'nolib': there is",
        ),
        (
            {"A": {"class_path": "ListNt"}},
            {},
            r"spec.yaml:\d+: loss 'A': no link or loss 'ListNt'; did you mean 'ListNet'",
        ),
        (
            {"A": "ListNet()"},
            {"scorers": {"x": "LinearScorr()"}},
            "scorers 'x': .*'LinearScorr'; did you mean 'LinearScorer'",
        ),
        ({"A": "ListNet()"}, {"scorers": {"x": "nolib.Mine()"}}, "scorers 'x': .*No module named 'nolib'"),
        ({"A": "ListNet()"}, {"scorers": {"x": {"class_path": "nolib.Mine"}}}, "scorers 'x': No module named 'nolib'"),
        ({"A": "ListNet()"}, {"scorers": {"x": "ListNet()"}}, "scorers 'x': ltr.losses.ListNet is no Scorer"),
        ({"A": "ListNet()"}, {"scorers": {"x": "MLPScorer(hidden='Exp()')"}}, "scorers 'x': .*hidden"),
        (
            {"A": "ListNet()"},
            {"scorers": {"x": {"class_path": "MLPScorer", "init_args": {"hidden": "Exq()"}}}},
            "no link or loss 'Exq'; did you mean 'Exp'",
        ),
    ],
)
def test_what_is_wrong_in_an_expression_is_told(losses, changes, said, spec_of):
    with pytest.raises(ConfigError, match=said):
        spec_of(losses, **changes)


def test_sampling_is_written_as_an_expression(spec_of):
    text = "TextData(train='a', dev='b', test='c', tokenizer='t', sampling=Sampling(docs_per_list=3))"
    spec = spec_of({"A": "ListNet()"}, data={"toy": text}, scorers={"x": "LinearScorer()"})
    from ltr.experiments.spec.building import build

    assert build("data", spec.data["toy"]).sampling.docs_per_list == 3


def test_worker_processes_find_classes_of_the_current_folder(spec_of, own, tmp_path):  # noqa: F811
    loss = {"loss": f"{own}.Mine(alpha={{a}}, targets={own}.Half())", "search": {"a": {"low": 1.0, "high": 3.0}}}
    spec = spec_of({"A": loss, "B": f"Matching(Numeric('{own}:steep'))"})
    groups = run(spec, Processes(1), lambda _: None)
    assert [g.seeds[0].record.get("reason") for g in groups] == [None, None]
    assert groups[0].seeds[0].record["loss"] == f"{own}.Mine(alpha=2.0, targets={own}.Half(share=0.5))"
    # the report makes the losses again from these records, which may name no other modules than the spec does
    assert value_of(groups[0].seeds[0].record["loss"], spec.losses["A"].packages).alpha == 2.0
