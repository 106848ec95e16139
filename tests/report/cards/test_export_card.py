"""An export's card says what was made of what, and carries the model's own card below."""

import yaml

from ltr.report.cards.export_card import export_card
from ltr.report.cards.sealed import CARD, is_own, sealed

FACTS = {"library_name": "ltr", "tags": ["ltr", "int8"]}
OWN = "---\nlicense: mit\nbase_model: org/tiny\nlibrary_name: other\ntags: [ltr, reranker]\n---\n\n# demo\n\nMine.\n"


def card(model, output):
    return export_card(str(model), output, "A copy", FACTS, "figures", ["use"]).decode()


def test_what_the_model_says_stays_under_what_the_export_is(tmp_path):
    (tmp_path / CARD).write_text(
        sealed(f"{OWN}\n![x](link.png)\n\n*The link.*\n\n## Use\n\ncode\n\n## Versions\n\none\n")
    )
    text = card(tmp_path, tmp_path / "int8")
    assert not is_own(text)
    head = yaml.safe_load(text.split("---\n")[1])
    tags = ["ltr", "reranker", "int8"]
    assert head == {"license": "mit", "base_model": "org/tiny", "library_name": "ltr", "tags": tags}
    assert f"A copy, made by `ltr export` from a folder named `{tmp_path.name}`." in text
    assert "# The model that it was made from\n\nMine.\n\n## Versions\n\none\n" in text
    assert "link.png" not in text
    assert text.count("written by ltr") == 1


def test_a_model_of_a_hub_is_named_as_the_base(tmp_path):
    text = card("org/model", tmp_path / "int8")
    assert yaml.safe_load(text.split("---\n")[1])["base_model"] == "org/model"
    assert "# The model that it was made from" not in text


def test_a_head_that_is_no_yaml_is_left_aside(tmp_path):
    (tmp_path / CARD).write_text("---\ntags: [\n---\n# demo\n\nMine.\n")
    text = card(tmp_path, tmp_path / "int8")
    assert yaml.safe_load(text.split("---\n")[1])["tags"] == ["ltr", "int8"]
    assert "Mine." in text


def test_a_card_that_was_edited_beside_an_earlier_export_stays(tmp_path):
    (tmp_path / "int8").mkdir()
    (tmp_path / "int8" / CARD).write_text("# mine\n")
    assert card("org/model", tmp_path / "int8") == "# mine\n"
