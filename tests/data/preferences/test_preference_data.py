"""From files to batches: templates applied once, prompts cut from the left, what is cut told."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from ltr.data import PreferenceData
from ltr.data.preferences.rendering import form_of, shown
from ltr.errors import ConfigError, DataError
from tests.data.preferences.chat import TEMPLATE, chat_tokenizer, save_chat_tokenizer
from tests.tiny_model import save_tokenizer

USER, ANSWER = {"role": "user", "content": "how to join"}, {"role": "assistant", "content": "is the file"}


def written(tmp_path, *records, name="p.jsonl"):
    file = tmp_path / name
    file.write_text("\n".join(map(json.dumps, records)))
    return str(file)


def pair(prompt="how to join two paths", chosen="split the string", rejected="no"):
    return {"prompt": prompt, "chosen": chosen, "rejected": rejected}


def rows(data, part="dev"):
    """(text of each row, of its prompt, of its response)."""
    (batch,) = list(data.val_dataloader())
    tokenizer = data.loaded_tokenizer
    found = []
    for a, b in zip(batch.tokens.offsets[:-1].tolist(), batch.tokens.offsets[1:].tolist(), strict=True):
        ids, marks = batch.tokens.ids[a:b], batch.tokens.marks[a:b]
        found.append(tuple(tokenizer.decode(part) for part in (ids, ids[marks == 0], ids[marks == 1])))
    return found


@pytest.fixture
def chat(tmp_path):
    return str(save_chat_tokenizer(tmp_path / "chat"))


@pytest.mark.parametrize(
    "record",
    [
        pair(),
        {
            "prompt": [{"role": "user", "content": "how to join two paths"}],
            "chosen": [{"role": "assistant", "content": "split the string"}],
            "rejected": "no",
        },
    ],
)
def test_the_chat_template_is_applied_exactly_once(tmp_path, chat, record):
    data = PreferenceData(dev=written(tmp_path, record), tokenizer=chat)
    whole, prompt, response = rows(data)[0]
    assert prompt == "<|im_start|>user\nhow to join two paths<|im_end|>\n<|im_start|>assistant\n"
    assert response == "split the string<|im_end|>\n"
    messages = [
        {"role": "user", "content": "how to join two paths"},
        {"role": "assistant", "content": "split the string"},
    ]
    assert whole == chat_tokenizer().apply_chat_template(messages, tokenize=False)


def test_a_rendered_prompt_is_refused_where_the_template_would_be_applied_again(tmp_path, chat):
    record = pair(prompt="<|im_start|>user\nhow<|im_end|>\n<|im_start|>assistant\n")
    data = PreferenceData(dev=written(tmp_path, record), tokenizer=chat)
    with pytest.raises(
        DataError, match=r"holds <\|im_start\|>, a mark of the chat template, which would be applied twice"
    ):
        data.setup("validate")
    plain = PreferenceData(dev=written(tmp_path, record), tokenizer=chat, form="plain")
    assert rows(plain)[0][0].count("<|im_start|>user") == 1


def test_a_template_that_writes_the_date_is_told(tmp_path, chat, caplog):
    save_chat_tokenizer(tmp_path / "dated", template="{{ strftime_now('%d %b %Y') }}" + TEMPLATE)
    file = written(tmp_path, pair())
    for tokenizer, told in ((chat, False), (str(tmp_path / "dated"), True)):
        caplog.clear()
        PreferenceData(dev=file, tokenizer=tokenizer).setup("validate")
        assert ("writes the date of the day" in caplog.text) is told


def test_a_response_that_holds_marks_is_refused_where_the_template_would_add_them(tmp_path, chat):
    data = PreferenceData(dev=written(tmp_path, pair(chosen="yes<|im_end|>")), tokenizer=chat)
    with pytest.raises(DataError, match=r"a response holds <\|im_end\|>, a mark of the chat template.* applied twice"):
        data.setup("validate")


def test_rendered_texts_are_not_marked_twice(tmp_path, chat):
    rendered = pair(prompt="<|im_start|>how", chosen="yes<|im_end|>", rejected="no<|im_end|>")
    bare = pair(prompt="how", chosen="yes", rejected="no")
    read = [rows(PreferenceData(dev=written(tmp_path, one), tokenizer=chat, form="plain")) for one in (rendered, bare)]
    assert read[0] == read[1] == [(whole, "<|im_start|>how", kept) for whole, _, kept in read[1]]


def test_messages_need_a_template(tmp_path):
    save_chat_tokenizer(tmp_path / "bare", template=None)
    data = PreferenceData(
        dev=written(tmp_path, {"prompt": [USER], "chosen": [ANSWER], "rejected": "no"}),
        tokenizer=str(tmp_path / "bare"),
    )
    with pytest.raises(
        ConfigError, match="holds chat messages, and form is plain; they need a model with a chat template"
    ):
        data.setup("validate")
    with pytest.raises(ConfigError, match="form is chat, and the tokenizer has no chat template"):
        form_of(data.loaded_tokenizer, "chat")
    with pytest.raises(ConfigError, match="form must be one of pair, chat, plain, or null, got 'dialogue'"):
        form_of(data.loaded_tokenizer, "dialogue")


def test_a_template_that_changes_the_prompt_is_refused(tmp_path):
    fickle = "{{ messages | length }}" + TEMPLATE
    save_chat_tokenizer(tmp_path / "fickle", template=fickle)
    data = PreferenceData(dev=written(tmp_path, pair()), tokenizer=str(tmp_path / "fickle"))
    with pytest.raises(DataError, match="the chat template writes the prompt otherwise when a response follows"):
        data.setup("validate")


def test_plain_texts_begin_with_the_first_mark_and_end_with_the_end_mark(tmp_path, chat):
    data = PreferenceData(dev=written(tmp_path, pair()), tokenizer=chat, form="plain")
    assert rows(data)[1] == (
        "<|im_start|>how to join two pathsno<|im_end|>",
        "<|im_start|>how to join two paths",
        "no<|im_end|>",
    )


def test_what_is_too_long_loses_the_beginning_of_its_prompt_and_keeps_its_response(tmp_path, chat):
    file = written(tmp_path, pair(), pair(prompt="is"))
    whole = PreferenceData(dev=file, tokenizer=chat, form="plain")
    short = PreferenceData(dev=file, tokenizer=chat, form="plain", max_length=12)
    for (_, prompt, response), (_, cut, kept) in zip(rows(whole), rows(short), strict=True):
        assert kept == response
        assert prompt.endswith(cut)
    assert short.encoder("dev").cut() == {"prompts": 1, "responses": 0, "alike": 0}
    assert "at 12 tokens 1 prompts lose their beginning and 0 responses their end" in short.describe()
    assert "their beginning" not in whole.describe()
    tiny = PreferenceData(dev=file, tokenizer=chat, form="plain", max_length=4)
    assert tiny.encoder("dev").cut()["responses"] == 2
    assert all(len(tiny.loaded_tokenizer(prompt)["input_ids"]) == 1 for _, prompt, _ in rows(tiny)[::2])


def test_pairs_of_encoders(tmp_path):
    save_tokenizer(tmp_path)
    data = PreferenceData(dev=written(tmp_path, pair()), tokenizer=str(tmp_path), max_length=16)
    (batch,) = list(data.val_dataloader())
    expected = data.loaded_tokenizer("how to join two paths", "split the string")
    size = len(expected["input_ids"])
    assert batch.tokens.ids[:size].tolist() == expected["input_ids"]
    assert batch.tokens.marks[:size].tolist() == expected["token_type_ids"]
    assert batch.doc_ids == ["chosen", "rejected"]
    assert batch.labels.tolist() == [1, 0]


def test_lists_are_drawn_anew_in_every_epoch(tmp_path, chat):
    record = {"prompt": "is", "responses": [{"text": "a " * (i + 1), "score": float(i)} for i in range(9)]}
    data = PreferenceData(train=written(tmp_path, record), tokenizer=chat, docs_per_list=3, lists_per_batch=1)
    (first,) = list(data.train_dataloader())
    assert first.n_docs == 3
    drawn = [data._draw(epoch)[0].docs.tolist() for epoch in (0, 1, 0)]
    assert drawn[0] == drawn[2] != drawn[1]
    assert np.array_equal(first.labels.numpy(), np.array(drawn[0], np.float32))


def test_examples_are_shown_with_the_tokens_of_the_response_marked(tmp_path, chat):
    data = PreferenceData(dev=written(tmp_path, pair()), tokenizer=chat, form="plain")
    text = shown(data.encoder("dev"), data.loaded_tokenizer)
    assert "prompt1/chosen  label 1" in text
    assert " s [split] [Ġ]" in text
    assert "[<|im_end|>]" in text
    assert "[how]" not in text


def test_of_long_examples_the_joint_is_shown_and_other_prompts_rather_than_one_again(tmp_path, chat):
    said = [pair(prompt="how " * 40 + end, chosen="split " * 40, rejected="a file") for end in ("is", "is", "no", "to")]
    data = PreferenceData(dev=written(tmp_path, *said), tokenizer=chat, form="plain")
    text = shown(data.encoder("dev"), data.loaded_tokenizer, examples=2)
    firsts = [line for line in text.splitlines() if not line.startswith(" ")]
    assert [one.split("/")[0] for one in firsts] == ["prompt1.1", "prompt1.1", "prompt2", "prompt2"]
    chosen = text.splitlines()[1]
    assert chosen.count("…") == 2
    assert re.search(r" [^\[ ]+ \[split\]", chosen)  # where the prompt ends and the response begins


def test_messages_that_the_template_cannot_write_are_told(tmp_path):
    file = written(tmp_path, {**pair(), "prompt": [{"role": "system", "content": "be short"}, USER]})
    refusing = "{% if messages[0].role == 'system' %}{{ raise_exception('no system here') }}{% endif %}" + TEMPLATE
    for name, template, said in (("a", refusing, "no system here"), ("b", "{% for m in messages %}", "Unexpected end")):
        model = str(save_chat_tokenizer(tmp_path / name, template))
        with pytest.raises(
            DataError,
            match=rf"p.jsonl: prompt prompt1: the chat template cannot write messages of system, user: {said}",
        ):
            PreferenceData(dev=file, tokenizer=model).encoder("dev")


def test_parts_of_responses_that_the_template_leaves_out_are_told(tmp_path, caplog):
    answers = TEMPLATE.replace("m['content']", "m['content'].split('</think>')[-1]|trim")
    file = written(tmp_path, pair(chosen="<think>so</think> the file"), pair(prompt="what", chosen=" yes "))
    data = PreferenceData(dev=file, tokenizer=str(save_chat_tokenizer(tmp_path / "short", answers)))
    data.encoder("dev")
    assert "the chat template does not write 1 of 4 responses as they are: it leaves parts out" in caplog.text


def test_dev_without_a_pair_is_told(tmp_path, chat):
    file = written(
        tmp_path, {"prompt": "p", "completion": "x", "label": True}, {"prompt": "q", "completion": "y", "label": False}
    )
    data = PreferenceData(train=file, dev=file, tokenizer=chat)
    data.setup("fit")
    train, dev = data.describe().splitlines()
    said = "no two responses to a prompt have other labels, so that measures of pairs are what chance gives"
    assert (said in train, said in dev) == (False, True)


def test_empty_responses_are_told(tmp_path, chat):
    data = PreferenceData(dev=written(tmp_path, pair(rejected="")), tokenizer=chat)
    assert rows(data)[1][2] == "<|im_end|>\n"
    assert "1 responses are empty: no more than an end mark" in data.describe()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "name a file to train, dev or test on, got none"),
        ({"dev": "f", "docs_per_list": 1}, "docs_per_list must be at least 2, got 1"),
        ({"dev": "f", "max_length": 3}, "max_length must be at least 4, got 3"),
    ],
)
def test_refuses_settings(settings, said):
    with pytest.raises(ConfigError, match=said):
        PreferenceData(**settings)


def test_signature_follows_file_and_settings(tmp_path, chat):
    made = [PreferenceData(dev=written(tmp_path, pair()), tokenizer=chat, max_length=n).signature for n in (20, 20, 30)]
    made.append(PreferenceData(dev=written(tmp_path, pair(chosen="x")), tokenizer=chat, max_length=20).signature)
    assert made[0] == made[1]
    assert len(set(made)) == 3


def test_pairs_that_are_alike_once_they_are_cut_are_told(tmp_path, chat):
    """They cost a constant, whatever the model says of them."""
    file = tmp_path / "p.jsonl"
    long = "one two three four five six seven eight nine ten " * 4
    records = [
        {"prompt": "p", "chosen": f"{long} yes", "rejected": f"{long} no"},
        {"prompt": "q", "chosen": f"yes {long}", "rejected": f"no {long}"},
        {"prompt": "r", "chosen": f"{long} yes", "rejected": "no"},
        {"prompt": "s", "responses": [{"text": f"{long} {i}", "score": score} for i, score in enumerate((2, 2, 1))]},
    ]
    file.write_text("".join(json.dumps(one) + "\n" for one in records[:3]))
    data = PreferenceData(dev=str(file), tokenizer=chat, max_length=20)
    assert data.cut("dev") == {"prompts": 3, "responses": 5, "alike": 1}
    data.setup("validate")
    assert "1 pairs of different labels are the same responses then, of which nothing can be learnt" in data.describe()
    file.write_text(json.dumps(records[3]))
    assert PreferenceData(dev=str(file), tokenizer=chat, max_length=20).cut("dev")["alike"] == 2
    assert PreferenceData(dev=str(file), tokenizer=chat, max_length=200).cut("dev")["alike"] == 0
    twins = [{"text": "yes", "score": 2}, {"text": "yes", "score": 1}, {"text": long, "score": 0}]
    file.write_text(json.dumps({"prompt": "t", "responses": twins}))
    assert PreferenceData(dev=str(file), tokenizer=chat, max_length=20).cut("dev")["alike"] == 0, (
        "they are so whole, too"
    )
