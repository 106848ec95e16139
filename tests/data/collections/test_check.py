"""The check before training, and export as a plain folder."""

import json
import logging

import pytest
from ir_datasets import Dataset
from ir_datasets.formats import BaseScoredDocs, GenericScoredDoc

from ltr.data.collections.check import Report, check
from ltr.data.collections.collection import Collection, load
from ltr.data.collections.export import export
from ltr.errors import DataError


def found(report: Report) -> dict[str, str]:
    return {what.strip(): text for what, text in report.lines}


def test_counts_grades_and_lengths(tiny_folder):
    report = check(load(tiny_folder))
    lines = [(what, text) for what, text in report.lines if what != "collection"]
    assert lines == [
        ("documents", "8"),
        # words of title and text: 9 8 6 8 7 10 7 7
        ("  words", "mean 7.8; up to: 5 % 6, 50 % 8, 95 % 10, 99 % 10, 100 % 10"),
        ("  without text", "0"),
        ("queries", "4"),
        ("  words", "mean 3.8; up to: 5 % 2, 50 % 4, 95 % 6, 99 % 6, 100 % 6"),
        ("  without text", "0"),
        ("judgements", "6 of 4 queries"),
        ("  grades", "0: 1, 1: 4, 2: 1"),
        ("  relevant per query", "mean 1.2, at most 2"),
        ("  queries without a relevant document", "0"),
        # d2 d1 of two, d4 of one, d5 of one, d6 of one
        ("run first", "4 of 4 queries, 3 documents each, holds 100.0% of the relevant documents"),
    ]
    assert report.problems == []
    assert str(report).endswith("\n\nnothing stands in the way")


def test_lengths_in_tokens(tiny_folder):
    report = check(load(tiny_folder), count_tokens=lambda texts: [len(text) for text in texts])
    tokens = [text for what, text in report.lines if what == "  tokens"]
    assert len(tokens) == 2
    assert tokens[1].endswith("100 % 24")  # "read the lines of a file"


def test_gaps_name_the_line(tiny_folder):
    with open(tiny_folder / "qrels.trec", "a") as file:
        file.write("q1 0 d66 1\nq9 0 d1 1\n")
    with open(tiny_folder / "run.first.trec", "a") as file:
        file.write("q1 Q0 d77 9 0.5 first\n")
    problems = check(load(tiny_folder)).problems
    assert problems == [
        f"1 judged queries without text: q9; first at {tiny_folder}/qrels.trec:8",
        f"1 judged documents that the collection does not have: d66; first at {tiny_folder}/qrels.trec:7",
        f"1 documents of run first that the collection does not have: d77; first at {tiny_folder}/run.first.trec:12",
    ]


def test_empty_documents_are_counted_and_empty_queries_stand_in_the_way(tiny_folder):
    with open(tiny_folder / "docs.jsonl", "a") as file:
        file.writelines(json.dumps({"doc_id": f"e{i}", "text": " "}) + "\n" for i in range(4))
    with open(tiny_folder / "queries.tsv", "a") as file:
        file.write("q7\t\n")
    report = check(load(tiny_folder))
    assert ("  without text", "4 (e0, e1, e2, …)") in report.lines
    assert ("  without text", "1 (q7)") in report.lines
    assert found(report)["queries without a relevant document"] == "1 (q7)"
    assert report.problems == ["1 queries without text, which ltr refuses to rank for: q7"]


def test_queries_that_would_be_cut_are_counted(tiny_folder):
    with open(tiny_folder / "queries.tsv", "a") as file:
        file.write(f"q7\t{'word ' * 203}\nq8\t{'word ' * 64}\n")
    assert found(check(load(tiny_folder)))["cut"] == (
        "at least 1 (q7): their end behind 64 tokens is not read; --tokenizer counts exactly; "
        "fit takes --data.max_query_length, rerank --max-query-length"
    )
    assert "cut" not in found(check(load(tiny_folder), max_query_length=203))
    exact = check(load(tiny_folder), count_tokens=lambda texts: [len(text) for text in texts])
    assert found(exact)["cut"].startswith("2 (q7, q8): their end behind 64 tokens is not read; fit")


def test_lost_characters_and_texts_without_spaces_are_counted(tiny_folder):
    with open(tiny_folder / "docs.jsonl", "a") as file:
        file.write('{"doc_id": "e1", "text": "half \\ud83d"}\n{"doc_id": "e2", "text": "\u4eac\u90fd\u306e\u5bfa"}\n')
    lines = found(check(load(tiny_folder)))
    assert lines["broken"] == "1 (e1) hold U+FFFD, which stands for a character that was lost"
    assert lines["without spaces"].startswith("1 (e2): BM25 takes pairs of their characters")


def test_repeated_queries(tiny_folder):
    with open(tiny_folder / "queries.tsv", "a") as file:
        file.write("q8\tJoin, paths!\n")
    assert found(check(load(tiny_folder)))["asked again"] == "1 repeat the text of another query"


def test_negative_grades_and_nothing_relevant(tiny_folder):
    (tiny_folder / "qrels.trec").write_text("q1 0 d1 -2\nq1 0 d2 0\n")
    report = check(load(tiny_folder))
    assert found(report)["negative grades"] == "1, taken as not judged"
    assert report.problems == ["no query has a relevant document: there is nothing to learn or to measure"]


def test_overlap_of_train_and_test(tiny_folder):
    dev, train = load(f"{tiny_folder}/dev"), load(f"{tiny_folder}/train")
    assert check(dev, train).problems == []
    both = check(load(tiny_folder), train)
    assert found(both)["query ids"] == "2"
    assert found(both)["query texts"] == "2 (q1, q2)"
    assert found(both)["relevant documents"] == "3 (60.0%)"
    assert both.problems[-1].startswith("2 queries (50.0%) have the text of a query of")


def test_overlap_is_found_by_text_whatever_the_ids(tiny_folder, tmp_path):
    (tmp_path / "docs.tsv").write_text("d1\tother\n")
    (tmp_path / "queries.tsv").write_text("x\tJoin PATHS?\n")
    (tmp_path / "qrels.trec").write_text("x 0 d1 1\n")
    report = check(load(tiny_folder), load(tmp_path))
    assert found(report)["query texts"] == "1 (q3)"
    assert "relevant documents" not in found(report)  # d1 is another document there


def test_collection_without_queries_or_judgements(tiny_folder):
    (tiny_folder / "qrels.trec").unlink()
    assert found(check(load(tiny_folder)))["judgements"] == "none"
    (tiny_folder / "queries.tsv").unlink()
    assert check(load(tiny_folder)).problems == [f"{tiny_folder} has no queries"]


def test_progress_bar(tiny_folder, capsys):
    check(load(tiny_folder), progress=True)
    assert "documents" in capsys.readouterr().err


class _Scored(BaseScoredDocs):
    def scoreddocs_iter(self):
        yield GenericScoredDoc("q2", "d4", 3.0)


def test_export_reads_back_the_same(tiny_folder, tmp_path):
    folder = load(tiny_folder)
    c = Collection("mine", Dataset(*folder.dataset._constituents, _Scored()), "d", "s")
    again = load(export(c, tmp_path / "out"))
    assert list(again.docs()) == list(c.docs())
    assert again.queries == c.queries
    assert again.qrels == c.qrels
    assert again.dataset.docs_store().get("d4").title == "Matrix product"
    assert list(again.runs) == ["scoreddocs"]


def test_export_of_documents_alone(tiny_folder, tmp_path):
    for name in ("queries.tsv", "qrels.trec"):
        (tiny_folder / name).unlink()
    assert sorted(p.name for p in export(load(tiny_folder), tmp_path / "out").iterdir()) == ["docs.jsonl"]


def test_export_never_overwrites(tiny_folder):
    with pytest.raises(DataError, match="holds a collection already; name a new folder"):
        export(load(tiny_folder), tiny_folder)


def test_an_export_that_fails_leaves_nothing(tmp_path):
    with pytest.raises(DataError, match="beir: this collection has no documents"):
        export(load("beir"), tmp_path / "new" / "out")
    assert not (tmp_path / "new").exists()


def test_building_pydocs_says_what_takes_so_long(tmp_path, monkeypatch, caplog):
    from ltr.data.collections import pydocs

    monkeypatch.setattr(pydocs, "READER", "ltr.data.no_such_module")
    with caplog.at_level(logging.INFO, "ltr"), pytest.raises(DataError):
        pydocs._build(tmp_path)
    assert "reading the documentation of this Python" in caplog.text


@pytest.mark.shared
def test_medquad_dev_repeats_questions_of_train(shared_data):
    report = check(load(shared_data / "medquad/dev"), load(shared_data / "medquad/train"))
    assert found(report)["query texts"].startswith("4 (")
    assert len(report.problems) == 1
