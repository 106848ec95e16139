"""Responses are tokenised as they follow their prompts."""

import json

import pytest

from ltr.data import PreferenceData
from ltr.data.preferences.joints import begins_with_space, following
from ltr.data.tokens.pairs import backend_of, tokens_of
from tests.data.preferences.chat import chat_tokenizer

MARKED = "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}</s>{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
WRITTEN = (
    "{% for m in messages %}{{ '[Q] ' if m.role == 'user' else ' [A] ' }}{{ m.content }}{% endfor %}"
    "{% if add_generation_prompt %} [A]{% endif %}"
)


def spaced(make, template=None):
    """A tokenizer of words that begins texts with a space: as Llama's first ones do, or as newer ones."""
    from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = ["<s>", "</s>", "<|user|>", "<|assistant|>", "▁", *"abcdefghijklmnopqrstuvwxyzH[]AQ\n"]
    merges = [("▁", "H"), ("H", "e"), ("▁H", "e"), ("▁", "y")]
    words += ["".join(pair) for pair in merges]
    tokenizer = Tokenizer(models.BPE({word: i for i, word in enumerate(words)}, merges))
    if make == "prepend":
        tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=make, split=False)
    # as Phi 3 has them: a line's end behind a role is read as part of it
    tokenizer.add_special_tokens([AddedToken("<|assistant|>", rstrip=True), AddedToken("<|user|>", rstrip=True)])
    made = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", pad_token="</s>")
    made.chat_template = template
    return made


def response(tmp_path, tokenizer, record):
    """The tokens of the first response, and those of the prompt before it, in words."""
    tokenizer.save_pretrained(tmp_path / "tokenizer")
    (tmp_path / "p.jsonl").write_text(json.dumps(record))
    (batch,) = PreferenceData(dev=str(tmp_path / "p.jsonl"), tokenizer=str(tmp_path / "tokenizer")).val_dataloader()
    rows = batch.tokens
    end = int(rows.offsets[1])
    words = tokenizer.convert_ids_to_tokens(rows.ids[:end].tolist())
    return [w for w, mark in zip(words, rows.marks[:end].tolist(), strict=True) if mark == 1], words


@pytest.mark.parametrize("make", ["first", "always", "prepend", "never"])
@pytest.mark.parametrize("template", [None, WRITTEN, MARKED], ids=["plain", "written", "marked"])
def test_no_space_that_nobody_wrote_stands_before_a_response(tmp_path, make, template):
    tokenizer = spaced(make, template)
    found, words = response(tmp_path, tokenizer, {"prompt": "why", "chosen": "He", "rejected": "you"})
    text = "".join(words)
    if template is MARKED:
        # behind a mark some tokenizers begin anew, wherever it stands
        assert found == [{"always": "▁He", "prepend": "▁He"}.get(make, "He"), "</s>"]
        assert words == tokenizer.convert_ids_to_tokens(
            tokenizer("<|user|>why</s><|assistant|>He</s>", add_special_tokens=False)["input_ids"]
        )
    elif template is WRITTEN:
        assert found == ["▁He"]
        assert text.removeprefix("▁") == "[Q]▁why▁[A]▁He"
    else:
        assert found == ["He", "</s>"]
        assert text.removeprefix("<s>").removeprefix("▁") == "whyHe</s>"


def test_a_token_over_the_joint_is_not_one_of_either(tmp_path):
    # the prompt ends with a space, which alone is read with the word behind it
    found, words = response(tmp_path, spaced("never"), {"prompt": "why ", "chosen": "He", "rejected": "you"})
    again, others = response(tmp_path, spaced("first"), {"prompt": "why ", "chosen": "He", "rejected": "you"})
    assert found == again == ["He", "</s>"]
    assert words[-3] == others[-3] == "▁"


def test_other_tokenizers_read_texts_as_they_are():
    backend = backend_of(chat_tokenizer())
    assert not begins_with_space(backend)
    texts = ["join two paths", " no", "half \ud83d"]
    assert following(backend, ["a"] * 3, texts).values.tolist() == tokens_of(backend, texts, None).values.tolist()
    assert following(backend_of(spaced("first")), ["\ud83d"], ["He\ud83d"]).values.tolist()[:1] == [38]
