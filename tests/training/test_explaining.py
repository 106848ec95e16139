"""What the parser and Lightning say becomes one sentence that names the setting."""

import pytest

from ltr.training.explaining import explain, refused_by_lightning

UNION = """Parser key "trainer.x":
  Does not validate against any of the Union subtypes
  Subtypes: [typing.Literal['a', 'b'], <class 'int'>, <class 'NoneType'>]
  Errors:
    - Expected a typing.Literal['a', 'b']
    - Expected a <class 'int'>
    - Expected a <class 'NoneType'>
  Given value type: <class 'str'>
  Given value: c"""


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (
            "Parser key \"model.loss\":\n  Problem with given class_path 'nolib.Mine':\n    No module named 'nolib'",
            "model.loss: No module named 'nolib': there is no 'nolib.Mine'; is it in the current folder, or installed?",
        ),
        (
            "Parser key \"model.loss\":\n  Problem with given class_path 'ltr.losses.ListNt':\n    no attribute",
            "model.loss: unknown class 'ltr.losses.ListNt' (no attribute); did you mean 'ListNet'?",
        ),
        ("Expected a dot import path string: ListNt", "unknown class 'ListNt'; did you mean 'ListNet'?"),
        (
            'Parser key "model.loss":\n\n  - Expected a path but Exp either not accessible or invalid\n'
            "  - Import path ltr.links.Exp does not correspond to a subclass of Loss",
            "model.loss: Exp is no Loss",
        ),
        (UNION, "trainer.x: must be a, b, a whole number or null, got 'c'"),
        (UNION.replace("Expected a <class 'int'>", "too large"), "trainer.x: too large"),
        ('Parser key "model.loss":\n  transform: Gains is no Link', "model.loss.transform: Gains is no Link"),
        ("Problem with given class_path 'ltr.scorers.PolicyRatio':\n  peft is needed", "peft is needed"),
        ("something else", "something else"),
    ],
)
def test_messages(message, said):
    assert explain(message) == said


def test_only_what_lightning_itself_refuses_is_taken_for_a_setting():
    from lightning_fabric.utilities.exceptions import MisconfigurationException
    from lightning_fabric.utilities.seed import seed_everything

    for act, said in ((lambda: seed_everything(-1), "-1 is not in bounds"), (lambda: int("x"), None)):
        with pytest.raises(ValueError) as error:
            act()
        found = refused_by_lightning(error.value)
        assert found is None if said is None else found.startswith(said)
    assert refused_by_lightning(MisconfigurationException("raised nowhere")) is None
    assert refused_by_lightning(OSError("disk")) is None
