"""ltr knows its own cards again, and leaves those of others as they are."""

from ltr.report.cards.sealed import CARD, own_card, sealed, write_card


def test_a_card_of_ltr_is_written_anew(tmp_path):
    assert write_card(tmp_path, "# first\n")
    assert own_card(tmp_path) is None
    assert write_card(tmp_path, "# second\n")
    assert (tmp_path / CARD).read_text().startswith("# second\n")


def test_an_edited_card_stays_byte_by_byte(tmp_path):
    write_card(tmp_path, "# first\n")
    edited = (tmp_path / CARD).read_bytes().replace(b"first", b"first, and my own words")
    (tmp_path / CARD).write_bytes(edited)
    assert own_card(tmp_path) == edited
    assert not write_card(tmp_path, "# second\n")
    assert (tmp_path / CARD).read_bytes() == edited


def test_what_stands_behind_the_seal_is_an_edit(tmp_path):
    (tmp_path / CARD).write_text(sealed("# first\n") + "\nlicensed to all\n")
    assert not write_card(tmp_path, "# second\n")


def test_a_card_that_is_no_text_is_somebodys_own(tmp_path):
    (tmp_path / CARD).write_bytes(b"\xff\xfe# mine")
    assert own_card(tmp_path) == b"\xff\xfe# mine"
