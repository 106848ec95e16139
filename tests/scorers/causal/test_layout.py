"""Causal rerankers in sentence-transformers' folders: written, read, and scored alike by both."""

from __future__ import annotations

import json

import pytest
import torch

from ltr.errors import DataError
from ltr.inference import Reranker
from ltr.scorers import CausalScorer, ModelSettings, load_scorer
from tests.data.preferences.chat import TEMPLATE

PROMPT = 'user\n{query}\n"a" file:\n{document}\nis "yes"\n?'
ASKED = {"prompt": PROMPT, "yes": "yes", "no": "no"}
QUERY, DOCS = "how to join two paths", ["split the string", "a file", "no"]


@pytest.fixture(scope="module")
def folder(tiny_causal, tmp_path_factory):
    folder = tmp_path_factory.mktemp("layout") / "saved"
    CausalScorer(str(tiny_causal), **ASKED).eval().save(folder, ModelSettings(60, 20))
    return folder


def scores_of(folder):
    ranked = Reranker.load(folder, "cpu", "32", max_length=60).rank(QUERY, DOCS, top_k=3)
    return [one.score for one in sorted(ranked, key=lambda one: one.index)]


def test_both_score_alike(folder):
    cross_encoder = pytest.importorskip("sentence_transformers").CrossEncoder
    with torch.no_grad():
        theirs = cross_encoder(str(folder), device="cpu").predict([(QUERY, doc) for doc in DOCS])
    assert scores_of(folder) == pytest.approx(theirs.tolist(), abs=1e-4)


def test_a_folder_without_ltrs_own_file_is_asked_alike(folder, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    for path in folder.iterdir():
        if path.name != "ltr.json":
            (other / path.name).symlink_to(path)
    opened = load_scorer(other)
    assert isinstance(opened, CausalScorer)
    assert (opened.prompt, opened.yes, opened.no) == (PROMPT, "yes", "no")
    assert scores_of(other) == pytest.approx(scores_of(folder), abs=1e-5)
    # an instruction of its own stands in a message of the system
    (other / "config_sentence_transformers.json").unlink()
    facts = {"prompts": {"web": "is the file"}, "default_prompt_name": "web"}
    (other / "config_sentence_transformers.json").write_text(json.dumps(facts))
    (other / "chat_template.jinja").unlink()
    asked = "{% for m in messages %}{{ m['role'][0] }}\n{{ m['content'] }}\n{% endfor %}"
    (other / "chat_template.jinja").write_text(asked)
    assert load_scorer(other).prompt == "s\nis the file\nq\n{query}\nd\n{document}\n"
    # whatever words the template itself has
    (other / "chat_template.jinja").write_text(f"what is an apple pie\n{asked}what is it")
    opened = load_scorer(other)
    assert opened.prompt == "what is an apple pie\ns\nis the file\nq\n{query}\nd\n{document}\nwhat is it"
    (other / "chat_template.jinja").write_text("{{ messages[0]['content'] }}")
    with pytest.raises(DataError, match=r"must write the query .role query., and behind it the document"):
        load_scorer(other)
    (other / "chat_template.jinja").write_text("{{ raise_exception('no such role') }}")
    with pytest.raises(DataError, match="its chat template cannot write a query and a document: no such role"):
        load_scorer(other)


def test_other_messages_are_written_as_before_and_saving_again_changes_nothing(folder, tmp_path):
    from transformers import AutoTokenizer

    messages = [{"role": "user", "content": "is"}]
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert tokenizer.apply_chat_template(messages, tokenize=False) == "<|im_start|>user\nis<|im_end|>\n"
    load_scorer(folder).save(tmp_path / "again")
    assert AutoTokenizer.from_pretrained(tmp_path / "again").chat_template == tokenizer.chat_template
    assert tokenizer.chat_template.count(TEMPLATE) == 1
    assert "TokenizersBackend" not in (folder / "tokenizer_config.json").read_text()  # of transformers 5 alone


def test_a_prompt_whose_joints_are_other_tokens_is_written_for_ltr_alone(tiny_causal, tmp_path):
    asked = {**ASKED, "prompt": "file:\nho{query}\n{document} is"}
    CausalScorer(str(tiny_causal), **asked).save(tmp_path / "saved")
    assert not (tmp_path / "saved" / "modules.json").exists()
    assert load_scorer(tmp_path / "saved").prompt == asked["prompt"]
