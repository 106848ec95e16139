"""Causal rerankers in sentence-transformers' folders: written, read, and scored alike by both."""

from __future__ import annotations

import json
import shutil

import pytest
import torch

from ltr.errors import ConfigError, DataError
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


def test_a_prompt_whose_joints_are_other_tokens_is_written_for_ltr_alone_and_that_is_told_once(
    tiny_causal, tmp_path, caplog
):
    asked = {**ASKED, "prompt": "file:\nho{query}\n{document} is"}
    scorer = CausalScorer(str(tiny_causal), **asked)
    with caplog.at_level("INFO", logger="ltr"):
        for name in ("best", "last", "saved"):
            scorer.save(tmp_path / name)
    (told,) = [one.getMessage() for one in caplog.records]
    assert told.startswith("the model is saved for ltr alone")
    assert ".part" not in told
    assert not (tmp_path / "saved" / "modules.json").exists()
    assert load_scorer(tmp_path / "saved").prompt == asked["prompt"]


@pytest.fixture
def theirs(folder, tmp_path):
    """A copy of the folder as sentence-transformers leaves it."""
    shutil.copytree(folder, tmp_path / "theirs", ignore=shutil.ignore_patterns("ltr.json"))
    return tmp_path / "theirs"


def edited(path, **settings):
    path.write_text(json.dumps({**json.loads(path.read_text()), **settings}))


@pytest.mark.parametrize("given", [{}, {"add_generation_prompt": True}, {"mood": "best"}])
def test_the_chat_template_is_filled_as_the_folder_says(theirs, given):
    """Whether an answer is begun, and what else a template asks for, stands in the folder."""
    cross_encoder = pytest.importorskip("sentence_transformers").CrossEncoder
    template = (
        "{% for m in messages %}{{ m['role'] }}\n{{ m['content'] }}\n{% endfor %}"
        "{% if mood is defined %}{{ mood }}{% endif %}{% if add_generation_prompt %}score\n{% endif %}"
    )
    (theirs / "chat_template.jinja").write_text(template)
    edited(theirs / "sentence_bert_config.json", processing_kwargs={"chat_template": {**given, "restore_suffix": True}})
    edited(theirs / "config_sentence_transformers.json", prompts={"web": "is the file"}, default_prompt_name="web")
    with torch.no_grad():
        other = cross_encoder(str(theirs), device="cpu")
        wanted = other.predict([(QUERY, doc) for doc in DOCS], activation_fn=torch.nn.Identity())
    assert load_scorer(theirs).prompt.endswith("score\n") == ("add_generation_prompt" in given)
    assert scores_of(theirs) == pytest.approx(wanted.tolist(), abs=1e-4)


def test_the_answers_are_found_where_their_module_stands(theirs, folder):
    (theirs / "1_LogitScore").rename(theirs / "9_Answers")
    modules = (theirs / "modules.json").read_text()
    (theirs / "modules.json").write_text(modules.replace('"path": "1_LogitScore"', '"path": "9_Answers"'))
    assert scores_of(theirs) == pytest.approx(scores_of(folder), abs=1e-5)


def test_an_answer_that_its_text_does_not_name_is_refused(theirs, monkeypatch):
    """Such as a word behind a mark of a space, which decoding leaves out: another word would be looked at."""
    word = json.loads((theirs / "1_LogitScore" / "config.json").read_text())["true_token_id"]
    edited(theirs / "1_LogitScore" / "config.json", true_token_id=word + 1)
    from transformers import PreTrainedTokenizerFast

    decode = PreTrainedTokenizerFast.decode
    texts = {word + 1: word}
    monkeypatch.setattr(
        PreTrainedTokenizerFast, "decode", lambda self, ids, **more: decode(self, [texts.get(ids[0], ids[0])], **more)
    )
    with pytest.raises(DataError, match=rf"its answer yes is the token {word + 1}, whose text .* is read as {word}"):
        load_scorer(theirs)


def test_a_tokenizer_with_settings_of_its_own_is_refused(theirs):
    edited(theirs / "sentence_bert_config.json", processing_kwargs={"text": {"max_length": 9}})
    with pytest.raises(ConfigError, match=r"CausalScorer: .* gives its tokenizer settings of its own"):
        load_scorer(theirs)
    edited(theirs / "sentence_bert_config.json", processing_kwargs={}, do_lower_case=True)
    with pytest.raises(ConfigError, match=r"CausalScorer: .* lower-cases texts before its tokenizer reads them"):
        load_scorer(theirs)
