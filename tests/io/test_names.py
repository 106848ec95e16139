"""Messages name the nearest known name, or all of them."""

from ltr.io.names import suggestion


def test_nearest_name_whatever_its_case():
    assert suggestion("listnet", ["ListNet", "ListMLE", "RankNet"]) == "did you mean 'ListNet'?"


def test_all_names_where_none_is_near():
    assert suggestion("zzz", ["b", "a", "b"]) == "known: a, b"


def test_nothing_known():
    assert suggestion("a", []) == "none is known"
