"""Index terms, in scripts with spaces between words and without."""

import pytest

from ltr.data.candidates.bm25_tokenizer import terms, unspaced
from ltr.data.candidates.sources import retrieve
from ltr.data.collections.collection import load


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("京都の寺", ["京都", "都の", "の寺"]),
        ("寺", ["寺"]),
        ("Python3で書く", ["python3", "で書", "書く"]),
        ("กินข้าว", ["กิ", "ิน", "นข", "ข้", "้า", "าว"]),
        ("हिन्दी में खोज", ["हिन्दी", "में", "खोज"]),  # vowels are marks, which belong to the word
        ("한국어 검색", ["한국어", "검색"]),
        ("cafe\u0301 CAFÉ", ["café", "café"]),
        ("naïve_Straße’s", ["naïve", "straße", "s"]),
    ],
)
def test_terms(text, expected):
    assert terms(text) == expected


def test_a_query_without_spaces_finds_its_document(tmp_path):
    (tmp_path / "docs.tsv").write_text("a\t東京都の天気は晴れです\nb\t京都の寺\nc\tno word in common\n")
    (tmp_path / "queries.tsv").write_text("q\t京都の古い寺\n")
    assert retrieve(load(tmp_path))["q"][0].tolist() == ["b", "a"]


def test_which_texts_have_no_spaces():
    assert unspaced("天気は晴れです。")
    assert unspaced("กินข้าว")
    assert not unspaced("한국어 검색")
    assert not unspaced("")
    assert not unspaced("the sign 寺")
