"""Tables become HTML that readers, screen readers and scripts understand, whatever their texts hold."""

from __future__ import annotations

import re

from ltr.report.page.tables import html_table, named, paragraphs, plain_table
from ltr.report.tables.table import Cell, Table
from tests.report.fake import EVIL

TABLE = Table(
    ["run", "mrr", "n"],
    [["bm25", Cell(0.5, 0.4, 0.6), 3], ["ours", Cell(0.75, 0.7, 0.8, "†", True), None]],
    "Title",
    "2 queries",
    ["† p < 0.05"],
)


def test_rows_and_columns_are_headed():
    html = html_table(TABLE)
    assert html.count('<th scope="col"') == 3
    assert html.count('<th scope="row"') == 2
    assert "<caption>Title</caption>" in html
    assert '<p class="small">2 queries</p>' in html
    assert "<li>† p &lt; 0.05</li>" in html


def test_numbers_carry_their_value_their_interval_and_their_marks():
    html = html_table(TABLE)
    assert (
        '<td class="number" data-value="0.75"><b>0.7500</b><span class="mark">†</span> <span class="more">[0.7000, 0.8000]</span></td>'
        in html
    )
    assert (
        '<td class="number" data-value="0.5">0.5000<span class="mark"></span> <span class="more">[0.4000, 0.6000]</span></td>'
        in html
    )
    assert '<td class="number" data-value="3">3</td>' in html.replace("3.0", "3")
    assert "<td></td>" in html
    assert re.findall(r'<th scope="col"( class="number")?>', html) == ["", ' class="number"', ' class="number"']


def test_a_value_that_is_none_sorts_as_empty():
    assert 'data-value=""' in plain_table(["a", "b"], [["x", float("nan")]], "")


def test_every_text_is_escaped():
    html = html_table(
        Table([EVIL, "b"], [[EVIL, EVIL], [Cell(EVIL, marks=EVIL), Cell(1.0, marks=EVIL)]], EVIL, EVIL, [EVIL])
    )
    assert "<script" not in html
    assert "<img" not in html
    assert '" too' not in html
    assert html.count("&lt;/script&gt;") >= 5


def test_names_break_between_their_parts_and_nowhere_inside_an_entity():
    assert named("a(b, c)") == '<span class="name">a(<wbr>b,<wbr> c)</span>'
    assert named("<b>&") == '<span class="name">&lt;b&gt;&amp;</span>'


def test_expressions_are_names_in_any_column():
    assert named("RankNet()") in plain_table(["data", "system"], [["set", "RankNet()"]], "")
    assert "<td>plain words</td>" in plain_table(["data", "what"], [["set", "plain words"]], "")


def test_paragraphs_know_code_and_strong_words_only():
    assert paragraphs("One\nline.\n\n`0.1 * a < **b**` and **much**: <i>0.1 * 2 ** 3 ** 4</i>\n\n\n") == [
        "One line.",
        "<code>0.1 * a &lt; **b**</code> and <b>much</b>: &lt;i&gt;0.1 * 2 ** 3 ** 4&lt;/i&gt;",
    ]
    assert paragraphs("") == []


def test_conventions_that_stand_above_are_not_said_again():
    assert "2 queries" not in html_table(TABLE, told="2 queries")
    assert "2 queries" in html_table(TABLE, told="3 queries")


def test_interval_and_spread_stand_on_lines_of_their_own():
    html = plain_table(["run", "mrr"], [["a", Cell(0.5, 0.4, 0.6, spread=0.1)], ["b", Cell(0.5, spread=0.1)]], "")
    assert '<span class="more">[0.4000, 0.6000]</span> <span class="more">± 0.1000</span>' in html
    assert html.count("± 0.1000</span>") == html.count('<span class="more">±') == 2


def test_intervals_of_one_column_have_room_beside_their_values():
    ranged = Cell(0.5, 0.4, 0.6)
    assert 'class="sortable single"' in html_table(Table(["run", "mrr", "n"], [["a", ranged, 1], ["b", 0.5, 2]]))
    assert 'class="sortable"' in html_table(Table(["run", "mrr", "map"], [["a", ranged, ranged]]))
    assert 'class="sortable"' in html_table(Table(["run", "mrr"], [["a", 0.5]]))
