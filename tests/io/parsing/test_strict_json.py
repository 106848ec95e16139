"""JSON of others: what Python's reader takes without a word, or stumbles over, is one kind of error."""

import pytest

from ltr.io.parsing.strict_json import from_json


def test_values_are_those_of_json():
    assert from_json('{"a": [1, 2.5, null], "b": {"a": "\\u00e9"}}') == {"a": [1, 2.5, None], "b": {"a": "é"}}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"text": "one", "n": 1, "text": "two"}', "the key 'text' stands there twice"),
        ('[{"a": {"b": 1, "b": 1}}]', "the key 'b' stands there twice"),
        ('{"a":' * 100_000, "it nests too deeply"),
        ("[" * 100_000, "it nests too deeply"),
        ("9" * 5000, "Exceeds the limit"),
        ('{"a": 1', "Expecting ',' delimiter"),
    ],
)
def test_what_is_refused(text, said):
    with pytest.raises(ValueError, match=said):
        from_json(text)
