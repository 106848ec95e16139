"""Pages opened in a real browser: the script runs, the marks are there, nothing complains, something is visible."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from ltr.report.page.html import render
from ltr.report.page.page import Page, Section
from ltr.report.tables.table import Cell, Table
from tests.browser import opened
from tests.report.fake import MEASURES, SYSTEMS, page, queries

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def file(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("page") / "page.html"
    path.write_text(render(page()), encoding="utf-8")
    return path


def test_the_script_runs_and_nothing_complains(browser, file, tmp_path):
    html, complaints = opened(browser, file.as_uri(), tmp_path, "--dump-dom")
    assert complaints == []
    assert re.search(r'<html[^>]* data-ready="yes"', html)
    assert "<title>Which loss for short questions?</title>" in html
    marks = html.count('class="point better') + html.count('class="point worse') + html.count('class="point equal')
    drawn = int(re.search(r'data-points="(\d+)"', html)[1])
    assert marks == drawn + 3  # and those of the legend
    assert drawn > 100
    assert 'data-queries="300"' in html


def test_it_counts_wins_and_shows_the_biggest_first(browser, file, tmp_path):
    html, _ = opened(browser, file.as_uri(), tmp_path, "--dump-dom")
    found = queries().values[MEASURES[0]]
    gains = np.round(np.asarray(found[SYSTEMS[1]]), 5) - np.round(np.asarray(found[SYSTEMS[0]]), 5)
    wins, losses = int((gains > 1e-9).sum()), int((gains < -1e-9).sum())
    assert f"is better on {wins}, equal on {300 - wins - losses} and worse on {losses} of 300 queries." in html
    shown = re.findall(r'<span class="delta (better|worse)">([+−]\d\.\d{4})</span>', html)
    assert ("better", f"+{gains.max():.4f}") in shown
    assert ("worse", f"−{-gains.min():.4f}") in shown


def test_the_documents_of_the_biggest_win_are_told_as_text(browser, file, tmp_path):
    html, _ = opened(browser, file.as_uri(), tmp_path, "--dump-dom")
    assert html.count('<li class="relevant">') + html.count('<li class="">') == 10
    assert "&lt;img src=x onerror=alert(1)&gt;" in html
    assert "<img" not in html


def test_a_screenshot_is_not_blank(browser, file, tmp_path):
    from matplotlib.image import imread

    for name, options in {"wide": ["--window-size=1280,2000"], "narrow": ["--window-size=500,2000"]}.items():
        target = tmp_path / f"{name}.png"
        opened(browser, file.as_uri(), tmp_path, f"--screenshot={target}", "--hide-scrollbars", *options)
        pixels = imread(target)[..., :3]
        inked = (np.abs(pixels - pixels[0, 0]) > 0.2).any(axis=-1)
        assert 0.01 < inked.mean() < 0.6
        assert inked.any(axis=1).mean() > 0.2  # from top to bottom


#: what a reader does, and what the page shows after each step
READER = """<script>
const told = [];
const root = document.querySelector(".explorer");
const part = (name) => root.querySelector(`[data-part=${name}]`);
const say = (...words) => told.push(words.join("|"));
const key = (name) => document.activeElement.dispatchEvent(new KeyboardEvent("keydown", { key: name, bubbles: true }));
const gain = (mark) => mark.group.rows[0].x - mark.group.rows[0].y;
const wins = () => Number(part("tally").textContent.match(/better on (\\d+)/)[1]);
const before = wins();
part("swap").click();
say("swap", part("x").value, part("y").value, part("tally").textContent.includes(`worse on ${before} `));
part("y").value = "4";
part("measure").value = "2";
part("measure").dispatchEvent(new Event("change"));
say("error", part("better").textContent, part("tally").textContent.startsWith("LambdaRank() is better"));
say("sign", part("wins").querySelector(".delta").textContent[0], part("losses").querySelector(".delta").textContent[0]);
part("losses").querySelector("button").click();
say("loss", part("detail").querySelector(".id").textContent !== "", root.querySelectorAll("[aria-current=true]").length);
root.querySelector(".point[tabindex='0']").focus();
const cell = part("detail").querySelectorAll("tbody tr")[2].querySelector(".delta");
say("row", cell.className, cell.textContent[0]);
say("tip", part("tip").hidden, part("tip").textContent.includes("→"));
key("ArrowRight"); key("ArrowRight"); key("ArrowLeft");
say("walk", root.querySelectorAll(".point[tabindex='0']").length, document.activeElement === root.querySelector(".point[tabindex='0']"));
key("Home");
let steps = 1;
for (let before = null; before !== document.activeElement; steps += 1) { before = document.activeElement; key("ArrowDown"); }
say("steps", steps - 1 === Number(root.dataset.points));
key("Home"); key("End"); const last = document.activeElement; key("ArrowRight"); key("Enter");
say("end", last === document.activeElement, [...root.querySelectorAll(".scatter .point")].every((p) => !p.classList.contains("worse") || gain(p) >= gain(last)));
say("open", document.activeElement.classList.contains("worse"), root.querySelectorAll(".point.chosen").length);
const table = document.querySelector("main table.sortable");
const column = (n) => [...table.tBodies[0].rows].map((row) => Number(row.cells[n].dataset.value));
table.tHead.rows[0].cells[1].querySelector("button").click();
const falling = column(1);
table.tHead.rows[0].cells[1].querySelector("button").click();
const sorted = [...falling].sort((a, b) => b - a);
say("sort", falling.length, String(falling) === String(sorted), String(column(1)) === String(sorted.reverse()), table.tHead.rows[0].cells[1].getAttribute("aria-sort"));
const costs = table.tHead.rows[0].cells[4].querySelector("button");
const lasts = [0, 1].map(() => { costs.click(); return [...table.tBodies[0].rows].at(-1).cells[0].textContent; });
say("empty", ...lasts);
document.documentElement.dataset.told = told.join(";");
</script>"""


def test_a_reader_can_choose_walk_open_and_sort(browser, file, tmp_path):
    html = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", file.read_text(encoding="utf-8"))
    path = tmp_path / "driven.html"
    path.write_text(html.replace("</body>", f"{READER}</body>"), encoding="utf-8")
    html, complaints = opened(browser, path.as_uri(), tmp_path, "--dump-dom")
    assert complaints == []
    assert re.search(r'data-told="([^"]*)"', html)[1].split(";") == [
        "swap|1|0|true",
        "error|better (below the diagonal)|true",
        "sign|−|+",
        "loss|true|1",
        "row|delta worse|+",
        "tip|false|true",
        "walk|1|true",
        "steps|true",
        "end|true|true",
        "open|true|1",
        "sort|8|true|true|ascending",
        "empty|BCE()|BCE()",
    ]


def test_a_foreign_script_does_not_run(browser, file, tmp_path):
    path = tmp_path / "foreign.html"
    path.write_text(file.read_text(encoding="utf-8").replace("</body>", f"{READER}</body>"), encoding="utf-8")
    html, complaints = opened(browser, path.as_uri(), tmp_path, "--dump-dom")
    assert "data-told" not in html.partition("<body>")[0]
    assert any("Content Security Policy" in line for line in complaints)


def test_an_unfinished_page_opens(browser, tmp_path):
    path = tmp_path / "unfinished.html"
    path.write_text(render(Page("Unfinished", missing=["all of it"])), encoding="utf-8")
    html, complaints = opened(browser, path.as_uri(), tmp_path, "--dump-dom")
    assert complaints == []
    assert 'data-ready="yes"' in html


#: for each table: whether its whole width is in sight, and whether the first column and the first number are
WIDTHS = """<script>
const told = [...document.querySelectorAll("main .wide")].filter((region) => region.querySelector("td.number")).map((region) => {
  const room = region.getBoundingClientRect();
  const inside = (node) => {
    const range = document.createRange();
    range.selectNodeContents(node);
    const box = range.getBoundingClientRect();
    return box.left >= room.left - 1 && box.right <= Math.min(room.right, document.documentElement.clientWidth) + 1;
  };
  const rows = [...region.querySelectorAll("tbody tr")];
  const all = [...region.querySelectorAll("td.number")].every(inside);
  const first = rows.every((row) => inside(row.cells[0]) && [...row.cells].slice(1).filter((c) => c.matches(".number")).slice(0, 1).every(inside));
  region.scrollLeft = 1e6;
  const stays = rows.every((row) => inside(row.cells[0]));
  const last = rows.every((row) => inside(row.cells[row.cells.length - 1]));
  return [all, first, stays, last].map(Number).join("");
});
document.documentElement.dataset.told = innerWidth + "|" + told.join(";") + "|" + (document.documentElement.scrollWidth <= document.documentElement.clientWidth);
</script>"""

FRAMED = """<!doctype html><body style="margin: 0"><iframe src="wide.html" style="width: WIDTHpx; height: 900px; border: 0"
onload="document.documentElement.dataset.told = this.contentDocument.documentElement.dataset.told"></iframe>"""


def tables_of_a_benchmark() -> Page:
    """A page with the widest tables that a benchmark writes: seven measures, and contrasts with p-values at their end."""
    measures = [
        "rmse_top.2",
        "rmse_rest.2",
        "spearman_top.2",
        "spearman",
        "precision_top.1",
        "ndcg_pooled@100",
        "ndcg_label@10",
    ]
    systems = ["MSE · linear", "CompositeSoftmax · linear", "Exp 0.55 · mlp"]
    value = Cell(-1.7295, -1.8223, -1.6347, "‡", spread=0.0737)
    costs = ["seconds", "peak MB"]
    rows = [[s, *[value] * len(measures), 20.5, 1024] for s in systems]
    means = Table(["system", *measures, *costs], rows, header="298 lists")
    tests = ["p fisher", "p fisher (Holm)"]
    columns = ["system", "measure", "difference", "effect d", "wins", "ties", "losses", "detectable", *tests]
    least = Cell(1e-5, bound=True)
    row = [Cell(-0.0417, -0.0463, -0.0375, "‡"), Cell(-1.09, digits=2), 141, 27, 130, 0.0063, least, least]
    contrasts = Table(columns, [[s, m, *row] for s in systems for m in measures])
    return Page("Benchmark", sections=[Section("vlengagement", "298 lists", tables=[means, contrasts])])


@pytest.mark.parametrize(
    ("width", "wanted"),
    [(1920, ["1111", "1111"]), (1280, ["1111", "1111"]), (390, ["0111", "0111"])],
)
def test_no_number_is_cut(browser, tmp_path, width, wanted):
    html = re.sub(
        r'<meta http-equiv="Content-Security-Policy"[^>]*>',
        "",
        render(tables_of_a_benchmark()).replace("</body>", f"{WIDTHS}</body>"),
    )
    (tmp_path / "wide.html").write_text(html, encoding="utf-8")
    # a browser's window is never as narrow as a telephone; a frame is
    framed = tmp_path / "framed.html"
    framed.write_text(FRAMED.replace("WIDTH", str(width)), encoding="utf-8")
    html, _ = opened(
        browser, framed.as_uri(), tmp_path, "--dump-dom", "--window-size=2000,1000", "--allow-file-access-from-files"
    )
    seen, tables, whole = re.search(r'data-told="([^"]*)"', html)[1].split("|")
    assert int(seen) == width
    assert tables.split(";") == wanted
    assert whole == "true"


def test_printed_tables_go_on_under_their_headings(browser, tmp_path):
    if shutil.which("pdftotext") is None:
        pytest.skip("pdftotext is not on PATH")
    rows = [[f"row {i}", Cell(i / 100, 0.1, 0.2)] for i in range(120)]
    path, target = tmp_path / "long.html", tmp_path / "long.pdf"
    tables = [Table(["system", "mrr"], rows)]
    path.write_text(render(Page("Long", sections=[Section("data", "3 queries", tables=tables)])), encoding="utf-8")
    opened(browser, path.as_uri(), tmp_path, f"--print-to-pdf={target}", "--no-pdf-header-footer")
    printed = subprocess.run(["pdftotext", "-layout", target, "-"], capture_output=True, text=True, check=True).stdout
    pages = [page for page in printed.split("\f") if "row " in page]
    assert 3 <= len(pages) <= 5  # an interval stands beside its value where there is room
    assert all(re.search(r"system +mrr", page) for page in pages)
