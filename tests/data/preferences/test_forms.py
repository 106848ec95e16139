"""How preferences are written, and what is refused, with the line."""

from __future__ import annotations

import json
import re

import pytest

from ltr.data.preferences.forms import judged
from ltr.data.preferences.table import read_preferences
from ltr.errors import DataError

USER, ANSWER = {"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}
OTHER = {"role": "assistant", "content": "go away"}


@pytest.mark.parametrize(
    ("record", "labels"),
    [
        ({"prompt": "p", "chosen": "x", "rejected": "y"}, (1, 0)),
        ({"prompt": "p", "chosen": "x", "rejected": "y", "margin": 2.5}, (2.5, 0)),
        ({"prompt": "p", "chosen": "x", "rejected": "y", "score_chosen": 8, "score_rejected": 6.5}, (8, 6.5)),
        ({"prompt": "p", "chosen": "x", "rejected": "y", "chosen_score": 8, "rejected_score": 6.5}, (8, 6.5)),
        (
            {"prompt": "p", "chosen": "x", "rejected": "y", "chosen-rating": 5, "rejected-rating": 3, "margin": 9},
            (5, 3),
        ),
        ({"prompt": "p", "a": "x", "b": "y", "strength": 0}, (0.5, 0.5)),
        ({"prompt": "p", "a": "x", "b": "y", "strength": -0.5}, (0.25, 0.75)),
        ({"prompt": "p", "a": "x", "b": "y", "votes": [1, 1, 2]}, (2 / 3, 1 / 3)),
        ({"prompt": "p", "responses": [{"text": "x", "votes": 3}, {"text": "y", "votes": 1}]}, (0.75, 0.25)),
        ({"prompt": "p", "responses": [{"text": "x", "rating": 4}, {"text": "y", "rating": 1.5}]}, (4, 1.5)),
        ({"prompt": "p", "completion": "x", "label": True}, (1,)),
        ({"prompt": [USER], "chosen": [ANSWER], "rejected": [OTHER]}, (1, 0)),
        # the prompt inside both
        ({"chosen": [USER, ANSWER], "rejected": [USER, OTHER]}, (1, 0)),
        ({"chosen": "\n\nHuman: a\n\nAssistant: x", "rejected": "\n\nHuman: a\n\nAssistant: y"}, (1, 0)),
        ({"prompt": [USER], "chosen": [USER, ANSWER], "rejected": [USER, OTHER]}, (1, 0)),
        ({"prompt": "p", "chosen": "x", "rejected": "y", "score": None}, (1, 0)),
        # as text and inside both: UltraFeedback
        ({"prompt": "hi", "chosen": [USER, ANSWER], "rejected": [USER, OTHER]}, (1, 0)),
        ({"prompt": "p", "system": "", "tools": [], "chosen": "x", "rejected": "y"}, (1, 0)),
        # RewardBench 2
        ({"prompt": "p", "chosen": ["x"], "rejected": ["y", "z", "x y"]}, (1, 0, 0, 0)),
        ({"prompt": "p", "chosen": ["x", "z"], "rejected": "y"}, (1, 1, 0)),
    ],
)
def test_forms(record, labels):
    found = judged(record, "f:1")
    assert found.labels == pytest.approx(labels)
    if len(labels) == 2 and isinstance(found.responses[0], tuple):
        assert [one[0]["content"] for one in found.responses] == ["hello", "go away"]
        assert found.prompt == (USER,)


@pytest.mark.parametrize(
    "record",
    [
        {"system": "Be brief.", "question": "hi"},
        {"system_prompt": "Be brief.", "prompt": [USER]},
        {"system": "Be brief.", "input": "hi"},
    ],
)
def test_a_system_message_may_stand_beside_the_question(record):
    """As in Orca's pairs, in which the question may be called input."""
    found = judged({**record, "chosen": "x", "rejected": "y"}, "f:1")
    assert found.prompt == ({"role": "system", "content": "Be brief."}, USER)
    assert found.responses == ("x", "y")
    lists = judged({**record, "responses": [{"text": "x", "score": 2}]}, "f:1")
    assert lists.prompt == found.prompt


def test_an_input_alone_is_the_question():
    assert judged({"input": "p", "system": " ", "chosen": "x", "rejected": "y"}, "f:1").prompt == "p"


def test_several_responses_of_a_kind_have_names_of_their_own():
    found = judged({"prompt": "p", "chosen": ["x"], "rejected": ["y", "z"]}, "f:1")
    assert (found.responses, found.names) == (("x", "y", "z"), ("chosen", "rejected1", "rejected2"))


def test_numbers_of_a_pair_that_nobody_reads_are_told(tmp_path, caplog):
    file = tmp_path / "p.jsonl"
    pair = {"prompt": "p", "chosen": "x", "rejected": "y", "chosen_model": "m"}
    file.write_text(json.dumps({**pair, "chosen_score": 2, "rejected_score": 1, "margin": 1, "chosen_logp": -3.5}))
    assert read_preferences(str(file)).labels.tolist() == [2, 1]
    said = "p.jsonl: of pairs margin, chosen_logp are not read; labels are score_chosen and score_rejected, chosen_score and"
    assert said in caplog.text
    caplog.clear()
    # in whichever record they stand
    file.write_text(
        "".join(
            json.dumps({**pair, "prompt": str(i), **({"logp_chosen": 1.0} if i == 7 else {})}) + "\n" for i in range(9)
        )
    )
    read_preferences(str(file))
    assert "p.jsonl: of pairs logp_chosen are not read" in caplog.text
    caplog.clear()
    file.write_text(json.dumps({**pair, "rating": [5, 3]}))
    read_preferences(str(file))
    assert "p.jsonl: of pairs rating are not read" in caplog.text
    caplog.clear()
    for known in ({"margin": 1.5}, {"chosen_score": 2, "rejected_score": 1}, {"question": "p"}, {}):
        file.write_text(json.dumps({**pair, **known}))
        read_preferences(str(file))
    assert not caplog.text


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        ({"score_chosen": 8, "score_rejected": 5}, {}, "only which response is preferred here, and 'score_chosen' at"),
        ({"margin": 2.5}, {"margin": None}, "only which response is preferred here, and 'margin' at"),
        (
            {},
            {"rating_chosen": 8, "rating_rejected": 5},
            "'rating_chosen' here, and only which response is preferred at",
        ),
    ],
)
def test_labels_of_several_scales_are_refused(tmp_path, first, second, said):
    file = tmp_path / "p.jsonl"
    file.write_text(
        "".join(json.dumps({**PAIR, "prompt": f"p{i}", **own}) + "\n" for i, own in enumerate((first, second)))
    )
    with pytest.raises(DataError, match=f"p.jsonl:2: labels are {said} .*p.jsonl:1: they would be taken for one scale"):
        read_preferences(str(file))


def test_responses_whose_labels_have_several_names_are_refused(tmp_path):
    file = tmp_path / "p.jsonl"
    lists = [[{"text": t, name: 1, "votes": 2} for t in "xy"] for name in ("score", "rating")]
    file.write_text("".join(json.dumps({"prompt": f"p{i}", "responses": own}) + "\n" for i, own in enumerate(lists)))
    with pytest.raises(DataError, match=r"p\.jsonl:2: labels are 'rating' here, and 'score' at"):
        read_preferences(str(file))
    assert read_preferences(str(file), "votes").labels.tolist() == [0.5] * 4


def test_prompts_that_responses_begin_with_are_told(tmp_path, caplog):
    file = tmp_path / "p.jsonl"
    prompts = [f"\n\nHuman: {i}\n\nAssistant:" for i in range(4)]
    doubled = [{"prompt": p, "chosen": f"{p} yes", "rejected": f"{p} no"} for p in prompts]
    file.write_text("".join(json.dumps(one) + "\n" for one in doubled))
    read_preferences(str(file))
    assert "in 4 records all responses begin with the text of the prompt" in caplog.text
    caplog.clear()
    file.write_text("".join(json.dumps({**one, "chosen": "yes"}) + "\n" for one in doubled))
    read_preferences(str(file))
    assert not caplog.text


def test_a_dialogue_as_text_is_split_behind_the_last_assistant_that_both_share():
    said = "\n\nHuman: a\n\nAssistant: b\n\nHuman: c\n\nAssistant:"
    found = judged({"chosen": f"{said} yes", "rejected": f"{said} yes, no"}, "f:1")
    assert (found.prompt, found.responses) == (said, (" yes", " yes, no"))


def test_chosen_equal_to_rejected_is_a_tie_and_is_counted(tmp_path):
    file = tmp_path / "p.jsonl"
    file.write_text(
        '{"prompt": "p", "chosen": "x", "rejected": "x"}\n\n{"prompt": "q", "chosen": "x", "rejected": "y"}\n'
    )
    found = read_preferences(str(file))
    assert found.labels.tolist() == [0, 0, 1, 0]
    assert found.same == 1
    assert found.ties == (1, 2)


PAIR = {"prompt": "p", "chosen": "x", "rejected": "y"}
RATED = {**PAIR, "score_chosen": 3, "score_rejected": 1, "rating_chosen": 9, "rating_rejected": 8, "margin": 0.5}
VOTED = {"prompt": "p", "a": "x", "b": "y", "strength": 0.5}
GOOD = {"prompt": "p", "completion": "x", "label": True}


@pytest.mark.parametrize(
    ("record", "label", "labels"),
    [
        (RATED, None, (3, 1)),
        (RATED, "rating", (9, 8)),
        (RATED, "rating_chosen", (9, 8)),
        (RATED, "margin", (0.5, 0)),
        (VOTED, "strength", (0.75, 0.25)),
        (GOOD, "label", (1,)),
    ],
)
def test_labels_that_are_asked_for_are_read(record, label, labels):
    assert judged(record, "f:1", label).labels == labels


@pytest.mark.parametrize("record", [PAIR, RATED, VOTED, GOOD, {**PAIR, "chosen": ["x", "z"]}])
def test_a_label_or_gain_that_a_record_lacks_is_refused(record):
    with pytest.raises(DataError, match="f:1: the record has no reward of its responses, which was asked for as their"):
        judged(record, "f:1", "reward")
    with pytest.raises(DataError, match="f:1: no response of this record has win, which was asked for as the gain"):
        judged(record, "f:1", None, "win")


def test_equal_texts_of_which_one_is_preferred_are_ties_in_every_form_of_a_pair(tmp_path):
    found = judged({**VOTED, "b": "x"}, "f:1")
    assert (found.labels, found.same) == ((0.5, 0.5), True)
    file = tmp_path / "p.jsonl"
    # in a list they keep their labels, by which others are compared with them, and are counted
    file.write_text(
        json.dumps(
            {"prompt": "p", "responses": [{"text": t, "score": s} for t, s in zip("xyxx", (1, 2, 3, 1), strict=True)]}
        )
    )
    found = read_preferences(str(file))
    assert (found.contradicted, found.labels.tolist()) == (2, [1, 2, 3, 1])


def test_labels_that_float32_makes_one_are_told(tmp_path, caplog):
    file = tmp_path / "p.jsonl"
    file.write_text(
        json.dumps({"prompt": "p", "responses": [{"text": t, "score": 2**24 + i} for i, t in enumerate("xyzw")]})
    )
    assert read_preferences(str(file)).rounded == 1
    assert (
        "p.jsonl: labels of 1 pairs are so near that float32, in which losses read them, makes them one" in caplog.text
    )
    with pytest.raises(
        DataError, match=r"f:1: margin must not be beyond 3\.4e\+38, the largest number of float32, got 1e\+300"
    ):
        judged({**PAIR, "margin": 1e300}, "f:1")


def test_fields_of_a_response_that_are_null_say_nothing():
    """As tables have them: a column for each name that any response has."""
    told = [{"id": None, "text": None, "response": t, "score": None, "rating": r} for t, r in (("x", 1.0), ("y", 2.0))]
    found = judged({"prompt": "p", "responses": told}, "f:1")
    assert (found.responses, found.labels, found.names) == (("x", "y"), (1, 2), ("0", "1"))


def test_records_of_one_prompt(tmp_path):
    file = tmp_path / "p.jsonl"
    records = [
        {"prompt": "p", "completion": "x", "label": True},
        {"prompt": "q", "completion": "z", "label": 1},
        {"prompt": "p", "completion": "y", "label": False},
        {"pair_id": "r", "prompt": "p", "chosen": "x", "rejected": "y"},
        {"pair_id": "r", "prompt": "p", "chosen": "z", "rejected": "y"},
    ]
    file.write_text("\n".join(map(json.dumps, records)))
    found = read_preferences(str(file))
    assert list(found.prompt_ids) == ["prompt1", "prompt2", "r.1", "r.2"]
    assert found.offsets.tolist() == [0, 2, 3, 5, 7]
    assert list(found.responses[:3]) == ["x", "y", "z"]
    halves = [read_preferences(f"{file}[{part}]").prompt_ids for part in (":50%", "50%:")]
    assert sorted(halves, key=len) == [["prompt2"], ["prompt1", "r.1", "r.2"]], (
        "a prompt is in one share, with all its lists"
    )


def test_single_responses_of_a_prompt_keep_their_names_and_gains(tmp_path):
    """Lists that were unrolled, a record for each response: the rate of wins was its label then."""
    file = tmp_path / "p.jsonl"
    told = [("x", 3, 0.9), ("y", 5, 0.2), ("z", 1, 0.4)]
    rows = [{"prompt": "p", "responses": [{"id": t, "text": f"said {t}", "score": s, "win": w}]} for t, s, w in told]
    file.write_text("\n".join(map(json.dumps, rows)))
    found = read_preferences(str(file), gain="win")
    assert (len(found), list(found.names)) == (1, ["x", "y", "z"])
    assert (found.labels.tolist(), found.gains.tolist()) == ([3, 5, 1], [0.9, 0.2, 0.4])


@pytest.mark.parametrize("ending", [".jsonl", ".jsonl.gz", ".parquet"])
def test_parts_of_a_folder_are_named_without_their_endings(tmp_path, ending):
    import gzip

    import pandas as pd

    line = json.dumps(PAIR)
    file = tmp_path / f"train{ending}"
    if ending == ".parquet":
        pd.DataFrame([PAIR]).to_parquet(file, index=False)
    else:
        file.write_bytes(gzip.compress(line.encode()) if ending.endswith(".gz") else line.encode())
    assert (
        read_preferences(f"{tmp_path}/train").prompts == read_preferences(f"{tmp_path}/train[:100%]").prompts == ["p"]
    )
    with pytest.raises(DataError, match=r"is a folder; name a part of it, such as .*/train"):
        read_preferences(str(tmp_path))
    with pytest.raises(DataError, match="dev"):
        read_preferences(f"{tmp_path}/dev")
    (tmp_path / "train.jsonl.xz").write_text("")
    with pytest.raises(DataError, match=r"/train may be .* or .*; name one of them"):
        read_preferences(f"{tmp_path}/train")


def test_ranks_are_no_labels(tmp_path):
    file = tmp_path / "p.jsonl"
    responses = [{"text": "best", "rank": 1}, {"text": "worst", "rank": 2}]
    file.write_text(json.dumps({"prompt": "p", "responses": responses}))
    with pytest.raises(
        DataError, match=r"p.jsonl:1: labels are larger for better responses, and rank 1 is usually the best"
    ):
        read_preferences(str(file), "rank")


def test_shares_have_no_prompt_in_common(tmp_path):
    file = tmp_path / "p.jsonl"
    records = [
        {"prompt": f"p{i}", "chosen": f"{i} {j}", "rejected": "no"} | ({"pair_id": f"{i}-{j}"} if i % 2 else {})
        for i in range(10)
        for j in range(3)
    ]
    file.write_text("\n".join(map(json.dumps, records)))
    train, dev = (read_preferences(f"{file}[{part}]") for part in (":70%", "70%:"))
    assert (len(train), len(dev)) == (21, 9)
    assert not set(train.prompts) & set(dev.prompts)
    with pytest.raises(DataError, match="this share of 10 prompts is empty; take a larger one"):
        read_preferences(f"{file}[:1%]")


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        (["prompt2", None], ["prompt2", "prompt2'"]),
        (["a", "a", "a.1"], ["a.1'", "a.2", "a.1"]),
    ],
)
def test_no_list_takes_the_place_of_another_with_its_id(tmp_path, ids, expected):
    file = tmp_path / "p.jsonl"
    records = [
        {"prompt": f"of {name}", "chosen": f"yes {i}", "rejected": "no"} | ({} if name is None else {"id": name})
        for i, name in enumerate(ids)
    ]
    file.write_text("\n".join(map(json.dumps, records)))
    found = read_preferences(str(file))
    assert list(found.prompt_ids) == expected
    assert list(found.responses[::2]) == [f"yes {i}" for i in range(len(ids))]


def test_ids_are_words_as_runs_hold_them():
    said = [{"id": name, "text": "x", "score": 1} for name in ("Nucleus Decoding (p = 0.7)", 7)]
    found = judged({"prompt_id": "talk 3", "prompt": "p", "responses": said}, "f:1")
    assert (found.id, found.names) == ("talk_3", ("Nucleus_Decoding_(p_=_0.7)", "7"))


PAIR = {"prompt": "p", "chosen": "x", "rejected": "y"}


@pytest.mark.parametrize(
    ("record", "said"),
    [
        ([1], "f:1: a preference is a JSON object, got list"),
        ({"prompt": "p", "answer": "x"}, "f:1: no form of a preference is known with the names prompt, answer"),
        ({**PAIR, "margin": "much"}, "f:1: margin must be a finite number, got 'much'"),
        ({**PAIR, "margin": float("nan")}, "f:1: margin must be a finite number, got nan"),
        ({**PAIR, "margin": -1}, "f:1: the chosen response must not be worse than the rejected one, got -1 and 0"),
        (
            {**PAIR, "chosen": 3},
            "f:1: the response must be a text or a list of messages, got 3; put numbers, true and false in quotes",
        ),
        ({"prompt": "p", "responses": "x"}, "f:1: responses must be a list of objects"),
        ({"prompt": "p", "responses": ["x"]}, "f:1: each response is an object with a text and a score, got 'x'"),
        ({"prompt": "p", "responses": [{"text": "x"}]}, "f:1: a response has no label; it needs one of score, rating"),
        (
            {"prompt": "p", "responses": [{"text": "x", "score": True}]},
            "score of response 0 must be a finite number, got True",
        ),
        ({"prompt": "p", "responses": [{"text": "x", "votes": 0}]}, "votes must be counts that are not all 0"),
        ({"prompt": "p", "responses": [{"id": 1, "text": "x", "score": 1}] * 2}, "ids of responses must differ"),
        (
            {"prompt": "p", "responses": [{"id": i, "text": "x", "score": 1} for i in ("top k", "top_k")]},
            "ids of responses must differ",
        ),
        (
            {"prompt": "p", "responses": [{"id": " ", "text": "x", "score": 1}]},
            "f:1: the id of a response must be one word, got ' '",
        ),
        ({**PAIR, "id": "#1"}, "f:1: the id of a prompt must not begin with #, which marks a comment, got '#1'"),
        (
            {"prompt": "p", "a": "x", "b": "y", "strength": 2},
            r"strength must lie in \[-1, 1\] \(1: all prefer a\), got 2",
        ),
        ({"prompt": "p", "a": "x", "b": "y", "votes": [1, 3]}, "votes must be a list of 1 .a., 2 .b. or 0 .tie., got"),
        (
            {"prompt": "p", "a": "x", "b": "y", "votes": [1, 2, 1], "strength": 1},
            r"votes \[1, 2, 1\] make a strength of 0.3333, and the record says 1",
        ),
        ({**PAIR, "chosen_score": 3}, "chosen_score stands without rejected_score; give both, or neither"),
        ({**PAIR, "rejected-rating": 3, "chosen-rating": None}, "rejected-rating stands without chosen-rating"),
        (
            {**PAIR, "chosen_score": 1, "rejected_score": 2},
            "must not be worse than the rejected one, got 1 and 2; mend",
        ),
        ({**PAIR, "chosen_score": "3", "rejected_score": 2}, "chosen_score must be a finite number, got '3'"),
        ({"prompt": [ANSWER, USER], "chosen": "x", "rejected": "y"}, "roles of the prompt must take turns, user first"),
        ({"prompt": [USER, ANSWER], "chosen": "x", "rejected": "y"}, "the last message of a prompt must be the user's"),
        (
            {"prompt": [USER], "chosen": [USER], "rejected": [OTHER]},
            "roles of the response must take turns, assistant first",
        ),
        (
            {"prompt": [USER], "chosen": [ANSWER, USER], "rejected": [OTHER]},
            "the last message of a response must be the assistant's, got 'user'",
        ),
        ({"prompt": [{"role": "user"}], "chosen": "x", "rejected": "y"}, "a message is .*with texts"),
        (
            {"prompt": [{"role": "user", "content": " "}], "chosen": "x", "rejected": "y"},
            "a message of the prompt is empty",
        ),
        ({**PAIR, "system": ["Be brief."]}, r"f:1: the record has system .*, which belongs to what is asked"),
        ({**PAIR, "system": "Be brief.", "system_prompt": "Be kind."}, "f:1: the record has system"),
        (
            {"system": "Be brief.", "chosen": [USER, ANSWER], "rejected": [USER, OTHER]},
            r"f:1: the record has system \('Be brief.'\), which belongs to what is asked",
        ),
        (
            {"system": "s", "prompt": [{"role": "system", "content": "t"}, USER], "chosen": "x", "rejected": "y"},
            "has system, and its prompt begins with a message of the system, too; take one of the two out",
        ),
        ({**PAIR, "rejected": ["y", "z"], "margin": 1}, "labels of a pair stand beside several responses"),
        ({"chosen": ["x"], "rejected": ["y"]}, "the prompt must be a text or a list of messages, got None"),
        ({**PAIR, "instruction": "p", "input": "bonjour"}, r"the record has input \('bonjour'\)"),
        ({**PAIR, "tools": [{"name": "search"}]}, "the record has tools"),
        ({**PAIR, "conversations": [USER]}, "the record has conversations"),
        ({"chosen": ANSWER, "rejected": OTHER}, "f:1: the response must be a text or a list of messages, got {'role'"),
        (
            {"prompt": "p", "chosen": 1.5, "rejected": "y"},
            "f:1: the response must be a text or a list of messages, got 1.5",
        ),
        (
            {**PAIR, "instruction": "Answer in French."},
            "f:1: the record has prompt and instruction, which are not the same, and one prompt is read",
        ),
        (
            {"prompt": [USER], "chosen": [{**ANSWER, "tool_calls": [{"id": 1}]}], "rejected": [OTHER]},
            "a message of the response has tool_calls",
        ),
        (
            {"prompt": "p", "responses": [{"text": "x", "score": 1}, {"text": "y", "score": 0, "thinking": "so"}]},
            "a response has thinking",
        ),
        (
            {"prompt": [USER], "chosen": [{**ANSWER, "reasoning_content": "hm"}], "rejected": [OTHER]},
            "a message of the response has reasoning_content",
        ),
        (
            {"prompt": "p", "chosen": [USER, ANSWER], "rejected": [USER, OTHER]},
            "begin with another prompt than prompt says",
        ),
        ({"chosen": "x", "rejected": "y"}, "share no dialogue up to .Assistant:."),
        ({"chosen": "x", "rejected": [OTHER]}, "must both be texts or both lists of messages"),
        ({"chosen": [ANSWER], "rejected": [OTHER]}, "share no messages before the responses"),
    ],
)
def test_refuses(record, said):
    with pytest.raises(DataError, match=said):
        judged(record, "f:1")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "there is no preference in it"),
        ('{"prompt": 1,}\n', ":1: a line must be JSON"),
        ("[" * 100_000, ":1: a line must be JSON, got .*it nests too deeply"),
        (
            '{"prompt": "p", "chosen": "x", "rejected": "y", "chosen": "z"}',
            ":1: a line must be JSON, .*'chosen' stands there twice",
        ),
        (
            '{"id": 1, "prompt": "p", "chosen": "x", "rejected": "y"}\n{"id": 1, "prompt": "q", "chosen": "x", "rejected": "y"}',
            ":2: id '1' stands for another prompt before",
        ),
    ],
)
def test_refuses_files(tmp_path, content, said):
    file = tmp_path / "p.jsonl"
    file.write_text(content)
    with pytest.raises(DataError, match=re.escape(str(file)) + ".*" + said):
        read_preferences(str(file))


def test_a_packed_file_that_is_not_whole_is_told(tmp_path):
    import gzip

    file = tmp_path / "p.jsonl.gz"
    file.write_bytes(gzip.compress(json.dumps(PAIR).encode() * 50)[:-9])
    with pytest.raises(DataError, match="the packed file is not whole"):
        read_preferences(str(file))


def test_fields_that_are_empty_say_nothing(tmp_path, caplog):
    responses = [{"text": "x", "score": 3}, {"text": "y", "score": 2}]
    records = [
        {
            **PAIR,
            "responses": None,
            "score_chosen": None,
            "chosen_score": 8,
            "rejected_score": 6,
        },  # as tables have them
        {"prompt": "q", "chosen": None, "rejected": None, "responses": responses},
    ]
    file = tmp_path / "p.jsonl"
    file.write_text("".join(json.dumps(record) + "\n" for record in records))
    assert read_preferences(str(file)).labels.tolist() == [8, 6, 3, 2]
    assert not caplog.records


def test_parquet_says_the_same_as_json_lines(tmp_path):
    import pandas as pd
    import pyarrow as pa

    records = [
        {"prompt": "p", "chosen": "x", "rejected": "y", "margin": 0.5},
        {"prompt": "q", "chosen": json.dumps([ANSWER]), "rejected": "[not json]", "margin": 2.0},
        {"prompt": "r", "chosen": "[1, 2, 3]", "rejected": '{"role": "user"}', "margin": 3.0},
    ]
    pd.DataFrame(records).to_parquet(tmp_path / "p.parquet", index=False)
    found = read_preferences(str(tmp_path / "p.parquet"))
    assert found.labels.tolist() == [0.5, 0, 2, 0, 3, 0]
    assert found.responses[2:] == [(ANSWER,), "[not json]", "[1, 2, 3]", '{"role": "user"}']

    from pyarrow.parquet import write_table  # as the hub holds conversations: lists of records

    other = {**ANSWER, "content": "another"}

    records = [{"prompt": [{"role": "user", "content": "p"}], "chosen": [ANSWER], "rejected": [other]}]
    write_table(pa.Table.from_pylist(records), tmp_path / "nested.parquet")
    assert read_preferences(str(tmp_path / "nested.parquet")).responses == [(ANSWER,), (other,)]


def test_what_stands_beside_the_texts_of_parquet(tmp_path):
    import pyarrow as pa
    from pyarrow.parquet import write_table

    path = tmp_path / "p.parquet"
    plain = {"prompt": ["p", "q"], "chosen": ["x", "x"], "rejected": ["y", "y"]}
    write_table(pa.table({**plain, "thumbnail": [b"\xff\xd8", b"\x89PNG"]}), path)  # bytes that are no text
    assert read_preferences(str(path)).prompts == ["p", "q"]
    write_table(pa.table({**plain, "chosen": [b"\xff", b"x"]}), path)
    with pytest.raises(
        DataError, match=r"p.parquet, row 1: the response must be a text or a list of messages, got b'.xff'"
    ):
        read_preferences(str(path))
    write_table(pa.table({**plain, "day": pa.array([0, 2**31 - 1], pa.date32())}), path)
    with pytest.raises(DataError, match=r"p.parquet: not a Parquet file that can be read \(OverflowError: "):
        read_preferences(str(path))


def test_a_text_and_the_one_message_of_a_chat_are_one_prompt(tmp_path):
    file = tmp_path / "p.jsonl"
    records = [
        {"id": 1, "prompt": "hi", "chosen": "x", "rejected": "y"},
        {"id": 1, "prompt": [USER], "chosen": [ANSWER], "rejected": [OTHER]},
    ]
    file.write_text("".join(json.dumps(record) + "\n" for record in records))
    assert len(read_preferences(str(file)).prompts) == 2
    system = {"role": "system", "content": "be kind"}
    file.write_text(json.dumps(records[0]) + "\n" + json.dumps({**records[1], "prompt": [system, USER]}) + "\n")
    with pytest.raises(DataError, match=":2: id '1' stands for another prompt before"):
        read_preferences(str(file))
