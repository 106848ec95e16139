"""Every kind of file that ltr reads: well-formed lines, our reader, and a strict one that shares no code with it."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import math
import random
import re
import string
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from tests.io.test_trec_rules import OTHER, by_rule

BOM = b"\xef\xbb\xbf"
#: numbers in ASCII digits; ``float`` alone takes 1_0 and the digits of other scripts
NUMBER = re.compile(r"\s*[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?\s*")
LARGEST = float(np.finfo(np.float32).max)
LONGEST_ID = 1024


class Refused(ValueError):
    """What no reader should take."""


class Ours(Exception):
    """What ltr takes by rules of its own, which a strict reader does not know."""


@dataclass(frozen=True)
class Format:
    """A kind of file.

    Attributes:
        file: its name.
        sample: well-formed lines without their ends.
        ours: what ltr reads.
        rule: the same by a reader of its own; whatever it raises refuses the file.
        separator: what parts fields.
        lenient: files that ltr takes on purpose though the rule refuses them.
    """

    file: str
    sample: Callable[[random.Random], list[bytes]]
    ours: Callable[[Path], Any]
    rule: Callable[[bytes], Any]
    separator: bytes
    lenient: Callable[[bytes], bool] = lambda data: False


def number(text: str) -> float:
    if not NUMBER.fullmatch(text):
        raise Refused(text)
    return float(text)


def identifier(text: str, query: bool = False) -> str:
    """An id that stands in a TREC file as one word."""
    if text.split() != [text] or "\0" in text or len(text.encode()) > LONGEST_ID or (query and text.startswith("#")):
        raise Refused(text)
    return text


def word(rng: random.Random) -> str:
    return rng.choice(["d", "doc-", "é", "D_"]) + "".join(
        rng.choices(string.ascii_letters + string.digits, k=rng.randint(1, 6))
    )


def text(rng: random.Random) -> str:
    return " ".join(rng.choices(["cat", "dog", "naïve", "sleeps", "x=1", "a, b", "日本", '"so"'], k=rng.randint(1, 7)))


def real(rng: random.Random) -> str:
    return rng.choice([f"{rng.gauss(0, 3):.4f}", str(rng.randint(0, 40)), f"{rng.random():.3e}", "0"])


# ------------------------------------------------------------------ runs and judgements


def run_lines(rng: random.Random) -> list[bytes]:
    names = [word(rng) for _ in range(12)]
    return [
        f"q{q} Q0 {name}{i} {i + 1} {real(rng)} tag".encode()
        for q in range(3)
        for i, name in enumerate(names[: rng.randint(3, 12)])
    ]


def qrels_lines(rng: random.Random) -> list[bytes]:
    return [f"q{q} 0 {word(rng)}{i} {rng.randint(-1, 4)}".encode() for q in range(3) for i in range(rng.randint(3, 12))]


def read_run(path: Path) -> Any:
    from ltr.io.trec import read_run

    return read_run(path).to_dict()


def read_qrels(path: Path) -> Any:
    from ltr.io.trec import read_qrels

    return read_qrels(path)


def trec_rule(run: bool) -> Callable[[bytes], Any]:
    def rule(data: bytes) -> Any:
        found = by_rule(data.removeprefix(BOM).decode(), run)
        if found is None:
            raise Refused("trec_eval")
        return found

    return rule


def parted_otherwise(data: bytes) -> bool:
    """White space that C does not know, and ends of lines by \\r alone: trec_eval sees fewer fields or lines, and refuses."""
    return b"\r" in data.replace(b"\r\n", b"") or any(
        blank.encode() in data for blank in (*OTHER, "\x1d", "\x1e", "\x1f", "\x85", "\u2028")
    )


# ------------------------------------------------------------------ queries and documents


def query_lines(rng: random.Random) -> list[bytes]:
    return [f"q{i}\t{text(rng)}".encode() for i in range(rng.randint(5, 25))]


def read_queries(path: Path) -> Any:
    from ltr.data.collections.folder import read_queries

    return {q.query_id: q.text for q in read_queries(path)}


def lines_of(data: bytes) -> list[str]:
    lines = [line.decode().rstrip("\r\n") for line in data.removeprefix(BOM).split(b"\n")]
    return [line for line in lines if line.strip()]


def queries_rule(data: bytes) -> Any:
    found: dict[str, str] = {}
    for line in lines_of(data):
        name, said = line.split("\t")
        if identifier(name, query=True) in found:
            raise Refused(name)
        found[name] = said.strip()
    return found


def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object none of whose keys stands there twice."""
    if len(dict(pairs)) < len(pairs):
        raise Refused("a key twice")
    return dict(pairs)


def strict_json(line: str | bytes) -> Any:
    return json.loads(line, object_pairs_hook=once)


def docs_lines(rng: random.Random) -> list[bytes]:
    records = [{"doc_id": f"{word(rng)}{i}", "title": text(rng), "text": text(rng)} for i in range(rng.randint(5, 20))]
    return [json.dumps(record, ensure_ascii=rng.random() < 0.5).encode() for record in records]


def tsv_lines(rng: random.Random) -> list[bytes]:
    return [f"{word(rng)}{i}\t{text(rng)}\t{text(rng)}".encode() for i in range(rng.randint(5, 20))]


def read_docs(path: Path) -> Any:
    from ltr.data.collections.docstore import LineStore, content_hash

    return [tuple(doc) for doc in LineStore(path, content_hash(path))]


def distinct(docs: list[tuple[str, str, str]]) -> list[tuple[str, str, str]]:
    if len({name for name, _, _ in docs}) < len(docs):
        raise Refused("an id twice")
    return docs


def docs_rule(data: bytes) -> Any:
    docs = []
    for line in lines_of(data):
        record = strict_json(line)
        doc = record["doc_id"], record.get("title") or "", record["text"]
        if not all(isinstance(value, str) for value in doc):
            raise Refused(line)
        docs.append((identifier(doc[0]), *doc[1:]))
    return distinct(docs)


def tsv_rule(data: bytes) -> Any:
    docs = []
    for line in lines_of(data):
        fields = line.split("\t")
        if len(fields) not in (2, 3):
            raise Refused(line)
        docs.append((identifier(fields[0]), "" if len(fields) == 2 else fields[1], fields[-1]))
    return distinct(docs)


# ------------------------------------------------------------------ tables of features


def svmlight_lines(rng: random.Random) -> list[bytes]:
    named = rng.random() < 0.5
    lines = []
    for q in range(3):
        for i in range(rng.randint(3, 10)):
            entries = " ".join(f"{j}:{real(rng)}" for j in range(1, 7) if rng.random() < 0.7)
            lines.append(f"{rng.randint(0, 4)} qid:{q} {entries}" + f" # docid = D{i}" * named)
    return [line.encode() for line in lines]


def read_svmlight(path: Path) -> Any:
    from ltr.data.features.svmlight import read_svmlight

    table = read_svmlight(path)
    queries = np.repeat(np.array(table.query_ids, object), np.diff(table.offsets)).tolist()
    ids = None if table.named is None else [name.decode() for name in np.asarray(table.named).tolist()]
    return queries, np.asarray(table.labels).tolist(), np.asarray(table.features).tolist(), ids


C_WORDS = re.compile(rb"[^ \t\r]+")


def svmlight_rule(data: bytes) -> Any:
    queries, labels, rows, ids = [], [], [], []
    for line in data.removeprefix(BOM).split(b"\n"):
        before, _, comment = line.partition(b"#")
        words = [one.decode() for one in C_WORDS.findall(before)]
        if not words:
            continue
        key, _, name = words[1].partition(":")
        if key != "qid" or not abs(number(words[0])) <= LARGEST:
            raise Refused(line)
        row = {}
        for entry in words[2:]:
            index, value = entry.split(":")
            if not re.fullmatch("[0-9]+", index) or int(index) <= max(row, default=0):
                raise Refused(entry)
            row[int(index)] = number(value)
        if name in queries and queries[-1] != name:
            raise Refused("a list in two blocks")
        queries.append(identifier(name, query=True))
        labels.append(number(words[0]))
        rows.append(row)
        ids.append(re.search(rb"\bdocid\s*=\s*(\S+)", comment))
    width = max(max(row, default=0) for row in rows)
    dense = np.zeros((len(rows), width))
    for i, row in enumerate(rows):
        for index, value in row.items():
            dense[i, index - 1] = value
    with np.errstate(over="ignore"):
        features = np.clip(dense, -LARGEST, LARGEST).astype(np.float32).tolist()
    if not width:
        raise Refused("no feature")
    # comments that are no docid may name documents too: by rules of our own, which are not looked at here
    return queries, labels, features, [one[1].decode() for one in ids] if all(ids) else ...


def csv_lines(rng: random.Random) -> list[bytes]:
    rows = ["list_id,item_id,seconds,x1,x2"]
    for q in range(3):
        for i in range(rng.randint(3, 8)):
            item = f'"{word(rng)},{i}"' if rng.random() < 0.1 else f"{word(rng)}{i}"
            rows.append(f"s{q},{item},{abs(rng.gauss(0, 50)):.2f},{real(rng)},{real(rng)}")
    return [row.encode() for row in rows]


def read_csv(path: Path) -> Any:
    from ltr.data.features.columns import Columns, read_columns

    table = read_columns(str(path), Columns("list_id", "item_id", "seconds", ("x1", "x2")))
    queries = np.repeat(np.array(table.query_ids, object), np.diff(table.offsets)).tolist()
    names = [name.decode() for name in np.asarray(table.named).tolist()]
    values = zip(queries, names, np.asarray(table.labels).tolist(), np.asarray(table.features).tolist(), strict=True)
    return {(query, name): (label, *row) for query, name, label, row in values}


def csv_rule(data: bytes) -> Any:
    rows = [row for row in csv.reader(io.StringIO(data.removeprefix(BOM).decode(), newline=""), strict=True) if row]
    header, found = rows[0], {}
    if "\0" in data.decode() or len(set(header)) < len(header) or any(len(row) != len(header) for row in rows):
        raise Refused("fields")
    for row in rows[1:]:
        record = dict(zip(header, row, strict=True))
        key = identifier(record["list_id"], query=True), identifier(record["item_id"])
        values = [number(record[name]) for name in ("seconds", "x1", "x2")]
        if key in found or not 0 <= values[0] <= LARGEST or not all(map(math.isfinite, values)):
            raise Refused(row)
        features = np.clip(values[1:], -LARGEST, LARGEST).astype(np.float32).tolist()
        found[key] = (values[0], *features)
    if not found:
        raise Refused("no row")
    return found


# ------------------------------------------------------------------ JSON lines and rows to be scored


def record_lines(rng: random.Random) -> list[bytes]:
    records = [{"query": text(rng), "doc": text(rng), "n": i} for i in range(rng.randint(5, 20))]
    return [json.dumps(record, ensure_ascii=rng.random() < 0.5).encode() for record in records]


def rows_of(path: Path) -> Any:
    from ltr.inference.bulk_rows import read_rows

    return [
        list(row) for rows in read_rows(path, ("query", "doc"), 7) for row in zip(*rows.columns.values(), strict=True)
    ]


def rows_rule(data: bytes) -> Any:
    lines = [line.decode().rstrip("\r\n") for line in data.removeprefix(BOM).split(b"\n")]
    records = [strict_json(line) for line in lines if line]
    return [[record["query"], record["doc"]] for record in records]


def table_lines(rng: random.Random) -> list[bytes]:
    return [b"query\tdoc\tn", *(f"{text(rng)}\t{text(rng)}\t{i}".encode() for i in range(rng.randint(5, 20)))]


def table_rule(data: bytes) -> Any:
    lines = [line.decode().rstrip("\r\n") for line in data.removeprefix(BOM).split(b"\n")]
    header, *rows = (line.split("\t") for line in lines if line)
    if any(len(row) != len(header) for row in rows) or len(set(header)) < len(header):
        raise Refused("fields")
    return [[row[header.index("query")], row[header.index("doc")]] for row in rows]


def preference_lines(rng: random.Random) -> list[bytes]:
    lines = []
    for i in range(rng.randint(4, 15)):
        responses = [{"text": text(rng), "score": round(rng.random(), 3)} for _ in range(rng.randint(1, 4))]
        pair = {"prompt": f"p{i}", "chosen": text(rng), "rejected": text(rng)}
        lines.append(json.dumps(pair if rng.random() < 0.4 else {"prompt": f"p{i}", "responses": responses}).encode())
    return lines


def read_preferences(path: Path) -> Any:
    from ltr.data.preferences.table import read_preferences

    held = read_preferences(str(path))
    spans = zip(held.offsets[:-1].tolist(), held.offsets[1:].tolist(), strict=True)
    rows = [
        [held.prompts[i], list(zip(held.responses[a:b], held.labels[a:b].tolist(), strict=True))]
        for i, (a, b) in enumerate(spans)
    ]
    return sorted(rows, key=repr)


def preferences_rule(data: bytes) -> Any:
    rows = []
    for line in data.split(b"\n"):
        if not line.strip():
            continue
        record = strict_json(line)
        if not isinstance(record["prompt"], str):
            raise Refused(line)
        if "responses" in record:
            judged = [(one["text"], one["score"]) for one in record["responses"]]
        else:
            judged = [(record["chosen"], 1.0), (record["rejected"], 0.0)]
        rows.append([record["prompt"], [(said, float(label)) for said, label in judged]])
    if any(len({said for said, _ in one}) < len(one) for _, one in rows):
        raise Ours("a response twice: a pair of equal texts is a tie")
    if len({prompt for prompt, _ in rows}) < len(rows):
        raise Ours("a prompt twice: lists of one prompt are joined")
    return sorted(rows, key=repr)


class Echo:
    """Ranks documents as they stand: what the stream of ``ltr rerank`` passes on shows how it read its lines."""

    def rank(self, query: str, docs: list[Any], ids: list[Any] | None, *_: Any) -> list[Any]:
        from ltr.inference.documents import Ranked, check_query, text_of

        check_query(query, "")
        names = [str(i) for i in range(len(docs))] if ids is None else list(map(str, ids))
        return [
            Ranked(text_of(doc, query, name), 0.0, i + 1, i)
            for i, (doc, name) in enumerate(zip(docs, names, strict=False))
        ]


def stream_lines(rng: random.Random) -> list[bytes]:
    records = [{"query": text(rng), "docs": [text(rng) for _ in range(3)]} for _ in range(rng.randint(5, 20))]
    return [json.dumps(record, ensure_ascii=rng.random() < 0.5).encode() for record in records]


def streamed(path: Path) -> Any:
    from ltr.cli.rerank import _stream
    from ltr.errors import DataError

    lines = []
    with open(path, "rb") as file, contextlib.suppress(DataError):  # said once more at the end
        lines += map(json.loads, _stream(Echo(), file, None, False, False))
    return [None if "error" in line else [line["query"], [one["id"] for one in line["ranking"]]] for line in lines]


def stream_rule(data: bytes) -> Any:
    found: list[Any] = []
    for line in data.split(b"\n"):
        if not line.strip():
            continue
        try:
            record = strict_json(line.decode())
            query, docs = record["query"], record["docs"]
            plain = isinstance(docs, list) and all(isinstance(one, str) for one in (query, *docs))
            [one.encode() for one in (query, *docs)]
            found.append([query, docs] if plain else None)
        except (ValueError, TypeError, KeyError, RecursionError, AttributeError):
            found.append(None)
    return found


# ------------------------------------------------------------------ YAML

SPEC = """# a comment
name: quick
data:
  log:
    class_path: ltr.data.LetorData
    init_args: {train: train.txt, dev: dev.txt, test: test.txt, lists_per_batch: 16}
scorers:
  linear: {class_path: LinearScorer}
losses:
  ListNet: ListNet(targets=Positives())
  Composite:
    loss: CompositeSoftmax(Identity() + Softplus(center={center}))
    search:
      center: {low: 0.5, high: 2.0}
seeds: [0, 1]
tuning: {trials: 2, search: {lr: {low: 5.0e-5, high: 5.0e-4, log: true}}}
model: {lr: 0.01}
trainer:
  max_epochs: 1
  accelerator: cpu
patience: 3
monitor: ndcg@10
measures: [ndcg@10, mrr@10]
baseline: ListNet
"""
RECIPE = """model:
  scorer: {class_path: MLPScorer, init_args: {hidden: [8], dropout: 0.2}}
  loss: CompositeSoftmax(Identity() + Softplus(center=1.0))
  lr: 0.01
  measures: [ndcg@3, mrr@10]
data:
  class_path: LetorData
  init_args:
    lists_per_batch: 3
    labels: grades
trainer: {max_epochs: 4, accelerator: cpu}
run:
  folder: runs/x
  monitor: ndcg@3
seed_everything: 3
"""


def read_spec(path: Path) -> Any:
    from ltr.experiments.spec.reading import read_spec

    spec = read_spec(path)
    again = yaml.safe_load(spec.yaml())
    assert (again["measures"], again["name"]) == (spec.measures, spec.name)
    return {name: getattr(spec, name) for name in ("measures", "baseline", "monitor", "patience", "model", "trainer")}


class OnceLoader(yaml.SafeLoader):
    """Refuses a key that stands twice in a mapping."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> Any:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        if len(set(keys)) < len(keys):
            raise Refused("a key twice")
        return super().construct_mapping(node, deep)


def spec_rule(data: bytes) -> Any:
    content = yaml.load(data.decode(), OnceLoader)
    defaults = {"monitor": "ndcg@10", "patience": None, "model": {}, "trainer": {}}
    return {
        name: content.get(name, defaults.get(name))
        for name in ("measures", "baseline", "monitor", "patience", "model", "trainer")
    }


def check_recipe(path: Path) -> Any:
    from ltr.cli.training.fit_options import check, folder_of

    check(["--config", str(path)])
    return str(folder_of(["--config", str(path)])[0])


def recipe_rule(data: bytes) -> Any:
    content = yaml.load(data.decode(), OnceLoader)
    folder = (content.get("run") or {}).get("folder") or None
    return str(folder) if folder is None or isinstance(folder, str) else ...


def written(yaml_text: str) -> Callable[[random.Random], list[bytes]]:
    return lambda rng: yaml_text.encode().split(b"\n")


FORMATS = {
    "runs": Format("run.trec", run_lines, read_run, trec_rule(True), b" ", parted_otherwise),
    "judgements": Format("qrels.trec", qrels_lines, read_qrels, trec_rule(False), b" ", parted_otherwise),
    "queries": Format("queries.tsv", query_lines, read_queries, queries_rule, b"\t"),
    "documents": Format("docs.jsonl", docs_lines, read_docs, docs_rule, b","),
    "documents in a table": Format("docs.tsv", tsv_lines, read_docs, tsv_rule, b"\t"),
    "SVMlight": Format("train.txt", svmlight_lines, read_svmlight, svmlight_rule, b" "),
    "CSV": Format("log.csv", csv_lines, read_csv, csv_rule, b","),
    "rows in JSON": Format("rows.jsonl", record_lines, rows_of, rows_rule, b","),
    "rows in a table": Format("rows.tsv", table_lines, rows_of, table_rule, b"\t"),
    "preferences": Format("preferences.jsonl", preference_lines, read_preferences, preferences_rule, b","),
    "a stream to rerank": Format("stream.jsonl", stream_lines, streamed, stream_rule, b","),
    "a benchmark's spec": Format("spec.yaml", written(SPEC), read_spec, spec_rule, b" "),
    "a recipe": Format("recipe.yaml", written(RECIPE), check_recipe, recipe_rule, b" "),
}
