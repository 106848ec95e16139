"""One table in five forms."""

import csv
import io
import json
import re

import numpy as np
import pytest

from ltr.errors import ConfigError, ShapeError
from ltr.report.tables.table import Cell, Table, escaped, together

TABLE = Table(
    ["run", "ndcg_burges@10", "n"],
    [
        ["bm25 | k1", Cell(0.44516, 0.38, 0.51), 53],
        ["ours", Cell(0.684607, 0.63, 0.73, marks="†‡", best=True), 7],
        ["none", None, None],
    ],
    title="Test & dev",
    header="53 queries; ties: by document id",
    notes=["† differs"],
)


def test_text_is_aligned():
    assert TABLE.text().split("\n") == [
        "Test & dev",
        "53 queries; ties: by document id",
        "run                 ndcg_burges@10     n",
        "---------  -------------------------  --",
        "bm25 | k1  0.4452 [0.3800, 0.5100]    53",
        "ours       0.6846 [0.6300, 0.7300]†‡   7",
        "none",
        "† differs",
    ]


def test_markdown():
    assert TABLE.markdown().split("\n") == [
        "**Test & dev**",
        "",
        "_53 queries; ties: by document id_",
        "",
        "| run        |                ndcg_burges@10 |   n |",
        "| ---------- | ----------------------------: | --: |",
        "| bm25 \\| k1 |       0.4452 [0.3800, 0.5100] |  53 |",
        "| ours       | **0.6846 [0.6300, 0.7300]**†‡ |   7 |",
        "| none       |                               |     |",
        "",
        "- † differs",
    ]


def test_latex():
    assert TABLE.latex().split("\n") == [
        "% needs the packages booktabs and threeparttable",
        "\\begin{table}",
        "\\centering",
        "\\begin{threeparttable}",
        "\\caption{Test \\& dev}",
        "\\label{tab:test-dev}",
        "\\begin{tabular}{lrr}",
        "\\toprule",
        "run & ndcg\\_burges@10 & n \\\\",
        "\\midrule",
        "bm25 \\textbar{} k1 & 0.4452 [0.3800, 0.5100] & 53 \\\\",
        "ours & \\textbf{0.6846 [0.6300, 0.7300]}$^{\\dagger\\ddagger}$ & 7 \\\\",
        "none &  &  \\\\",
        "\\bottomrule",
        "\\end{tabular}",
        "\\begin{tablenotes}",
        "\\footnotesize",
        "\\item {}53 queries; ties: by document id",
        "\\item {}$\\dagger$ differs",
        "\\end{tablenotes}",
        "\\end{threeparttable}",
        "\\end{table}",
    ]


def test_latex_has_minus_signs_before_numbers_and_hyphens_in_names():
    table = Table(["run", "d"], [["r-precision -2", Cell(-0.5, -0.75, -0.25)], ["b", -2.5e-6]])
    lines = table.latex().split("\n")
    assert r"r-precision -2 & $-$0.5000 [$-$0.7500, $-$0.2500] \\" in lines
    assert r"b & $-$2.5e-06 \\" in lines
    assert not any("caption" in line or "label" in line for line in lines)  # it has no title


def test_long_tables_go_on_over_pages_under_their_headings():
    rows = [[f"r{i}", i] for i in range(41)]
    table = Table(["run", "n"], rows, "Ranks & runs", "3 lists", ["‡ differs"])
    lines = table.latex().split("\n")
    begin, first, head, end = (
        lines.index(line) for line in (r"\begin{longtable}{lr}", r"\endfirsthead", r"\endhead", r"\end{longtable}")
    )
    assert lines[begin + 1 : begin + 3] == [r"\caption{Ranks \& runs}", r"\label{tab:ranks-runs} \\"]
    assert lines[first - 2] == lines[head - 2] == r"run & n \\"
    assert lines[end - 41 : end] == [rf"r{i} & {i} \\" for i in range(41)]
    assert lines[end + 1 :] == [r"\noindent", r"3 lists\par", r"$\ddagger$ differs\par", r"\endgroup"]
    assert "longtable" not in Table(["run", "n"], rows[:40]).latex()
    assert r"\caption" not in Table(["run", "n"], rows).latex()


def test_no_two_tables_of_a_file_have_the_same_label():
    tables = [Table(["n"], [[1]], title) for title in ("Against MSE", "against-mse", "Against MSE 2", "")]
    text = together(tables, "latex", "Dwell time")
    assert re.findall(r"\\label{(.*)}", text) == [f"tab:dwell-time-against-mse{more}" for more in ("", "-2", "-2-2")]
    assert together(tables[:2], "text") == tables[0].text() + "\n\n" + tables[1].text()


@pytest.mark.parametrize("format", ["csv", "json"])
def test_files_for_programs_hold_one_table(format):
    table = Table(["n"], [[1]])
    assert together([table], format) == table.render(format)
    with pytest.raises(ConfigError, match=f"{format} holds one table, got 2; write each to a file of its own"):
        together([table, table], format)


def test_notes_are_items_in_markdown_that_nothing_takes_for_a_link_or_emphasis():
    table = Table(["a"], [[1]], notes=["[low, high]: 95% interval", "2 * 3"])
    assert table.markdown().split("\n")[-3:] == ["", r"- \[low, high]: 95% interval", r"- 2 \* 3"]


def test_csv_holds_full_precision_and_nothing_but_rows():
    assert TABLE.about().split("\n") == ["Test & dev", "53 queries; ties: by document id", "† differs"]
    rows = list(csv.DictReader(io.StringIO(TABLE.csv())))
    assert rows[0] == {
        "run": "bm25 | k1",
        "ndcg_burges@10": "0.44516",
        "ndcg_burges@10 low": "0.38",
        "ndcg_burges@10 high": "0.51",
        "ndcg_burges@10 marks": "",
        "n": "53",
    }
    assert rows[1]["ndcg_burges@10 marks"] == "†‡"
    assert rows[2]["ndcg_burges@10"] == ""


def test_json_holds_one_form_per_column():
    content = json.loads(TABLE.json())
    assert content["header"] == "53 queries; ties: by document id"
    assert content["notes"] == ["† differs"]
    assert content["rows"] == [
        {"run": "bm25 | k1", "ndcg_burges@10": {"value": 0.44516, "low": 0.38, "high": 0.51, "marks": ""}, "n": 53},
        {"run": "ours", "ndcg_burges@10": {"value": 0.684607, "low": 0.63, "high": 0.73, "marks": "†‡"}, "n": 7},
        {"run": "none", "ndcg_burges@10": {"value": None, "low": None, "high": None, "marks": ""}, "n": None},
    ]


def test_numbers_of_numpy_and_those_that_are_none():
    table = Table(["a", "b"], [[np.int64(3), np.float32(0.5)], [np.int64(10), float("inf")]])
    assert table.text().split("\n")[2:] == [" 3  0.5000", "10     inf"]
    assert json.loads(table.json())["rows"] == [{"a": 3, "b": 0.5}, {"a": 10, "b": None}]


def test_a_small_number_is_not_shown_as_0():
    assert Table(["p"], [[2.3e-9], [0.0], [0.00005], [Cell(0.004, digits=2)]]).text().split("\n")[2:] == [
        "2.3e-09",
        " 0.0000",
        " 0.0001",
        "4.0e-03",
    ]


def test_long_headers_are_wrapped_in_text_only():
    table = Table(["a"], [[1]], header="; ".join(["nine words are in this header, all of them short"] * 5))
    assert max(map(len, table.text().split("\n"))) <= 100
    assert table.header in table.markdown()
    assert table.header in table.about()


def test_render_chooses_the_form():
    assert [TABLE.render(f) for f in ("text", "latex")] == [TABLE.text(), TABLE.latex()]
    with pytest.raises(ConfigError, match=r"table: no format 'latecks'; did you mean 'latex'\?"):
        TABLE.render("latecks")


def test_rows_must_fit_the_columns():
    with pytest.raises(ShapeError, match=r"a row has one cell per column \(2\), row 1 has 1: \['x'\]"):
        Table(["a", "b"], [[1, 2], ["x"]])


def test_a_table_without_rows():
    assert Table(["run", "n"], []).text() == "run  n\n---  -"


def test_letters_that_mean_something_to_latex():
    assert escaped(r"a_b & c% $5 #1 {x} ~ ^ \ < >") == (
        r"a\_b \& c\% \$5 \#1 \{x\} \textasciitilde{} \textasciicircum{} \textbackslash{} $<$ $>$"
    )


def test_a_spread_stands_behind_its_value():
    table = Table(["run", "mrr"], [["a", Cell(0.5, spread=0.25)], ["b", 0.75]], digits=2)
    assert table.text().splitlines()[2:] == ["a    0.50 ± 0.25", "b           0.75"]
    assert table.csv().splitlines() == ["run,mrr,mrr spread", "a,0.5,0.25", "b,0.75,"]
    assert table.content()["rows"][0]["mrr"] == {"value": 0.5, "spread": 0.25}
    assert r"0.50 $\pm$ 0.25" in table.latex()


def test_a_bound_is_rounded_up():
    cells = [Cell(1 / 100_001, bound=True), Cell(182 / 100_001, bound=True), Cell(0.001, bound=True), Cell(0.25)]
    table = Table(["p"], [[c] for c in cells])
    assert table.text().split("\n")[2:] == ["≤1.0e-05", " ≤0.0019", " ≤0.0010", "  0.2500"]
    assert r"$\leq$0.0019" in table.latex()
    assert table.csv().split("\n")[1] == str(1 / 100_001)
    assert table.content()["rows"][0] == {"p": 1 / 100_001}


def test_an_interval_that_is_undefined_is_left_out():
    nan = float("nan")
    table = Table(["run", "mrr"], [["a", Cell(0.5, nan, nan)]])
    assert table.text().split("\n")[2] == "a    0.5000"
    assert table.csv() == "run,mrr\na,0.5"
    assert table.content()["rows"] == [{"run": "a", "mrr": 0.5}]
    both = Table(["mrr"], [[Cell(0.5, nan, nan)], [Cell(0.5, 0.25, 0.75)]])
    assert both.csv().split("\n")[1:] == ["0.5,,", "0.5,0.25,0.75"]
    assert both.content()["rows"][0] == {"mrr": {"value": 0.5, "low": None, "high": None}}
