"""EngagementData: tables with named columns and SVMlight files, amounts and what is learnt of them, weights, bad input."""

import gzip
import os
import threading

import numpy as np
import pandas as pd
import pytest

from ltr.data import EngagementData
from ltr.data.contents import contents_of
from ltr.errors import ConfigError, DataError

TABLE = pd.DataFrame(
    {
        "topic": ["b", "a", "b", "a", "c"],
        "video": ["01", "02", "03", "04", "01"],
        "words": [3, 5, 7, 2, 9],
        "title": ["x", "y", "z", "x", "y"],
        "fresh": [True, False, True, True, False],
        "length": [60.0, 30.0, 90.5, 10.0, 5.0],
        "sessions": [1.0, 3.0, 2.0, 3.0, 1.0],
        "seconds": [10.0, 0.0, 100.0, 59.0, 3.5],
    }
)
NAMES = {"list_id": "topic", "item_id": "video"}


@pytest.fixture
def written(tmp_path):
    def write(table=TABLE, name="log.csv"):
        path = tmp_path / name
        table.to_parquet(path, index=False) if name.endswith("parquet") else table.to_csv(path, index=False)
        return str(path)

    return write


def made(path, **settings):
    return EngagementData(train=path, **{**NAMES, **settings})


@pytest.mark.parametrize("name", ["log.csv", "log.csv.gz", "log.parquet"])
def test_a_table_becomes_lists_in_the_order_of_their_first_rows(written, name):
    data = made(written(name=name))
    whole = data.whole("train")
    assert whole.query_ids == ["b", "a", "c"]
    assert whole.list_offsets.tolist() == [0, 2, 4, 5]
    assert whole.doc_ids == ["01", "03", "02", "04", "01"]  # text, though it looks like numbers
    assert data.feature_names == ("words", "fresh", "length", "sessions")
    assert whole.features.tolist() == [[3, 1, 60, 1], [7, 1, 90.5, 2], [5, 0, 30, 3], [2, 1, 10, 3], [9, 0, 5, 1]]
    np.testing.assert_allclose(whole.labels, np.log1p([10, 100, 0, 59, 3.5]), rtol=1e-6)
    assert data.part("train").first is None
    assert whole.weights is None


@pytest.mark.parametrize("settings", [{}, {"standardise_label": True}, {"transform": "none"}])
def test_amounts_stay_as_they_were_read(written, settings):
    data = made(written(), dev=written(), **settings)
    labels, known = data.whole("train").labels.numpy(), data.labels_of("dev")
    assert known.gains.tolist() == [10, 100, 0, 59, 3.5]
    assert known.labels.astype(np.float32).tolist() == labels.tolist()
    np.testing.assert_allclose(data.back(known.labels), known.gains, atol=1e-12)
    assert data.mean_label == pytest.approx(labels.mean(), abs=1e-6)
    plain = "seconds" if settings.get("transform") else "log(1 + seconds)"
    assert known.unit == ("standardised log(1 + seconds)" if "standardise_label" in settings else plain)
    assert known.gain_unit == "seconds"
    assert data.part("dev").qrels is None
    plain = np.array([10, 100, 0, 59, 3.5]) if settings.get("transform") else np.log1p([10, 100, 0, 59, 3.5])
    if "standardise_label" in settings:
        plain = (plain - plain.mean()) / plain.std()
    np.testing.assert_allclose(labels, plain, rtol=1e-5, atol=1e-6)


def test_what_is_learnt_is_standardised_by_train_alone(written, tmp_path):
    other = TABLE.assign(seconds=TABLE.seconds * 50)
    data = made(written(), dev=written(other, "dev.csv"), standardise_label=True)
    assert data.whole("train").labels.mean().item() == pytest.approx(0, abs=1e-6)
    assert data.whole("dev").labels.mean().item() > 1
    assert data.labels_of("dev").gains.tolist() == [500, 5000, 0, 2950, 175]
    with pytest.raises(ConfigError, match="standardise_label takes mean and deviation from train, which is not set"):
        EngagementData(dev=written(), standardise_label=True, **NAMES).whole("dev")


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        ({"features": ["length", "words"]}, ("length", "words")),
        ({"features": ["words"], "duration": "length"}, ("words", "length")),
        ({"features": ["words", "length"], "duration": "length", "use_duration": False}, ("words",)),
        ({"duration": "length", "use_duration": False}, ("words", "fresh", "sessions")),
        ({"duration": "length", "weight": "sessions"}, ("words", "fresh", "length")),
    ],
)
def test_which_columns_are_features(written, settings, names):
    data = made(written(), **settings)
    assert data.feature_names == names
    assert data.n_features == len(names)
    assert data.whole("train").features[0].tolist() == [TABLE[name].astype(float)[0] for name in names]


def test_every_part_has_the_features_of_the_first(written):
    wider = TABLE.assign(more=1.0)[["more", *TABLE.columns]]
    data = made(written(), dev=written(wider, "dev.csv"))
    data.setup("validate")  # dev is read first
    assert data.whole("dev").features.tolist() == data.whole("train").features.tolist()
    with pytest.raises(DataError, match=r"dev.csv: no column 'words'; did you mean 'word'"):
        made(written(), dev=written(TABLE.rename(columns={"words": "word"}), "dev.csv")).whole("dev")


def test_weights_count_documents_or_lists(written):
    scaled = TABLE.sessions / TABLE.sessions.mean()
    documents = made(written(), weight="sessions").whole("train").weights
    assert documents.numpy() == pytest.approx(
        np.array([[scaled[0], scaled[2]], [scaled[1], scaled[3]], [scaled[4], 0]])
    )
    lists = made(written(), weight="sessions", weigh="lists", lists_per_batch=3)
    assert lists.whole("train").weights.tolist() == pytest.approx([0.75, 1.5, 0.5])
    batch = next(iter(lists.train_dataloader()))
    assert dict(zip(batch.query_ids, batch.weights.tolist(), strict=True)) == pytest.approx(
        {"b": 0.75, "a": 1.5, "c": 0.5}
    )


def test_weights_of_documents_follow_them_into_batches(written):
    batch = next(iter(made(written(), weight="sessions", lists_per_batch=3).train_dataloader()))
    weight = {
        (t, v): w / TABLE.sessions.mean() for t, v, w in zip(TABLE.topic, TABLE.video, TABLE.sessions, strict=True)
    }
    owners = np.repeat(batch.query_ids, batch.list_offsets.diff())
    expected = [weight[pair] for pair in zip(owners, batch.doc_ids, strict=True)]
    assert batch.weights[batch.mask].tolist() == pytest.approx(expected)


def test_ids_without_a_column(written):
    assert made(written(), item_id=None).whole("train").doc_ids == [
        "b-65f4-2",
        "b-81ec-4",
        "a-454f-3",
        "a-749b-5",
        "c-a2ea-6",
    ]


def test_shares_of_a_table(written):
    data = EngagementData(train=f"{written()}[:67%]", dev=f"{written()}[67%:]", **NAMES)
    assert sorted(data.whole("train").query_ids + data.whole("dev").query_ids) == ["a", "b", "c"]


def test_the_signature_tells_settings_apart(written):
    others = [{}, {"transform": "none"}, {"standardise_label": True}, {"weight": "sessions"}, {"features": ["words"]}]
    others += [{"duration": "length", "use_duration": False}, {"label": "words"}]
    assert len({made(written(), **settings).signature for settings in others}) == len(others)


# ------------------------------------------------------------------ SVMlight


@pytest.fixture
def svmlight(tmp_path):
    path = tmp_path / "train.txt.gz"
    path.write_bytes(gzip.compress(b"30.5 qid:1 1:60 3:2 # v1\n0 qid:1 1:20 2:1 # v2\n9 qid:2 2:4 # v1\n"))
    return path


def test_an_svmlight_file_with_amounts(svmlight):
    data = EngagementData(train=str(svmlight))
    whole = data.whole("train")
    assert whole.features.tolist() == [[60, 0, 2], [20, 1, 0], [0, 4, 0]]
    assert data.labels_of("train").gains.tolist() == [30.5, 0, 9]
    assert whole.doc_ids == ["v1", "v2", "v1"]
    assert data.feature_names == ("1", "2", "3")
    narrow = EngagementData(train=str(svmlight), duration="1", use_duration=False)
    assert narrow.whole("train").features.tolist() == [[0, 2], [1, 0], [4, 0]]


def test_its_features_are_named_by_the_file_beside(svmlight):
    (svmlight.parent / "features.txt").write_text("1\tduration\n2\tclicks\n3\tage\n4\tnever\n")
    data = EngagementData(train=str(svmlight), features=["age", "never"], duration="duration")
    assert data.feature_names == ("age", "never", "duration")
    assert data.whole("train").features.tolist() == [[2, 0, 60], [0, 0, 20], [0, 0, 0]]
    with pytest.raises(DataError, match=r"train.txt.gz: no feature 'clickz'; did you mean 'clicks'"):
        EngagementData(train=str(svmlight), features=["clickz"]).whole("train")
    with pytest.raises(DataError, match=r"train.txt.gz: no feature 'durations'; did you mean 'duration'"):
        EngagementData(train=str(svmlight), duration="durations", use_duration=False).whole("train")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("one duration\n", r"features.txt:1: a line reads INDEX<TAB>NAME with an index from 1, got 'one duration'"),
        ("1\ta\n0\tb\n", r"features.txt:2: a line reads INDEX<TAB>NAME"),
        ("1\ta\n\n2\ta\n", r"features.txt:3: index and name must be new on each line"),
        ("1\ta\n1\tb\n", r"features.txt:2: index and name must be new on each line"),
    ],
)
def test_names_beside_that_cannot_be_read(svmlight, text, sentence):
    (svmlight.parent / "features.txt").write_text(text)
    with pytest.raises(DataError, match=sentence):
        EngagementData(train=str(svmlight)).whole("train")


def test_parts_of_different_width(svmlight, tmp_path):
    (tmp_path / "dev.txt").write_text("1 qid:1 2:5 9:1\n")
    (tmp_path / "short.txt").write_text("1 qid:1 1:5\n")
    data = EngagementData(train=str(svmlight), dev=str(tmp_path / "dev.txt"), test=str(tmp_path / "short.txt"))
    assert data.whole("dev").features.tolist() == [[0, 5, 0]]
    assert data.whole("test").features.tolist() == [[5, 0, 0]]


def test_a_negative_amount_in_an_svmlight_file(tmp_path):
    (tmp_path / "a.txt").write_text("1 qid:1 1:5\n-4 qid:1 1:2\n")
    with pytest.raises(DataError, match=r"a.txt:2: an amount must not be negative, got -4"):
        EngagementData(train=str(tmp_path / "a.txt")).whole("train")
    with pytest.raises(ConfigError, match=r"a.txt is read as SVMlight, which has no column for weight 'w'"):
        EngagementData(train=str(tmp_path / "a.txt"), weight="w").whole("train")


# ------------------------------------------------------------------ bad input


def changed(column, row, value):
    table = TABLE.copy()
    table[column] = table[column].astype(object)
    table.loc[row, column] = value
    return table


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        (
            changed("seconds", 2, "long"),
            r"log.csv:4: column 'seconds': every value must be a finite number, got 'long'",
        ),
        (
            changed("seconds", 1, None),
            r"log.csv:3: column 'seconds': every value must be a finite number, got an empty field",
        ),
        (changed("seconds", 3, "inf"), r"log.csv:5: column 'seconds': every value must be a finite number, got inf"),
        (changed("seconds", 3, -2), r"log.csv:5: column 'seconds': values must not be below 0, got -2"),
        (
            changed("length", 4, None),
            r"log.csv:6: column 'length': every value must be a finite number, got an empty field",
        ),
        (changed("topic", 0, None), r"log.csv:2: column 'topic': every row needs an id, got an empty field"),
        (changed("topic", 0, "  "), r"log.csv:2: column 'topic': every row needs an id, got an empty field"),
        (changed("video", 2, None), r"log.csv:4: column 'video': every row needs an id, got an empty field"),
        (
            changed("video", 2, "01"),
            r"log.csv:4: column 'video': 01 stands in list b twice; every document of a list needs",
        ),
        (TABLE[:0], r"log.csv: the table holds no row"),
        (TABLE.drop(columns="seconds"), r"log.csv: no column 'seconds'; did you mean 'sessions'"),
        (TABLE.drop(columns="topic"), r"log.csv: no column 'topic'"),
        (
            TABLE[["topic", "video", "title", "seconds"]],
            r"log.csv: no column of numbers is left to be a feature; it has topic",
        ),
    ],
)
def test_a_bad_table_is_named_by_row_and_column(written, table, sentence):
    with pytest.raises(DataError, match=sentence):
        made(written(table)).whole("train")


def test_a_bad_row_of_a_parquet_file(written):
    table = TABLE.copy()
    table.loc[2, "length"] = np.nan
    with pytest.raises(DataError, match=r"log.parquet: row 3: column 'length': every value must be a finite number"):
        made(written(table, "log.parquet")).whole("train")


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ([0] * 5, r"log.csv: column 'sessions': the weights are all 0"),
        ([1, 1, -1, 1, 1], r"log.csv:4: column 'sessions': values must not be below 0, got -1"),
    ],
)
def test_bad_weights(written, values, sentence):
    with pytest.raises(DataError, match=sentence):
        made(written(TABLE.assign(sessions=values)), weight="sessions").whole("train")


def test_a_column_that_is_left_out_must_be_there(written):
    with pytest.raises(DataError, match=r"log.csv: no column 'lenght'; did you mean 'length'"):
        made(written(), duration="lenght", use_duration=False).whole("train")


def test_files_that_are_no_tables(tmp_path):
    (tmp_path / "b.csv").write_text("\ufeff\n\n")
    (tmp_path / "log").mkdir()
    for name, sentence in {
        "b.csv": r"b.csv: the table is empty; its first line names the columns",
        "c.csv": r"data: no file .*c.csv",
        "log": r"data: .*log is a folder; give a file",
    }.items():
        with pytest.raises(DataError, match=sentence):
            made(str(tmp_path / name)).whole("train")
    (tmp_path / "a.jsonl").write_text("{}")
    with pytest.raises(
        DataError, match=r"EngagementData: .*a.jsonl is no table that is read; write it as .csv, .tsv or"
    ):
        made(str(tmp_path / "a.jsonl")).whole("train")


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"weigh": "words"}, "weigh must be documents or lists, got 'words'"),
        ({"transform": "sqrt"}, "transform must be log1p or none, got 'sqrt'"),
        ({"features": []}, r"features must name a column, or be null for all columns of numbers, got \[\]"),
    ],
)
def test_settings_are_checked(settings, sentence):
    with pytest.raises(ConfigError, match=f"EngagementData: {sentence}"):
        EngagementData(train="log.csv", **settings)


def test_the_test_part_may_be_judged_beside_its_amounts(written, tmp_path):
    path = tmp_path / "qrels.trec"
    path.write_text("a 0 02 1\na 0 99 2\nz 0 01 1\n")
    data = made(written(), dev=written(), test=written(), test_judgements=str(path))
    assert data.part("test").qrels == {
        "a": {"02": 1, "99": 2}
    }  # unjudged lists are no queries, judged items need not be here
    assert data.part("test").labels.gains.tolist() == [10, 100, 0, 59, 3.5]
    assert data.part("dev").qrels is None
    before = data.signature, contents_of(data)
    assert before[0] != made(written(), dev=written(), test=written()).signature
    path.write_text("a 0 04 1\n")
    after = made(written(), dev=written(), test=written(), test_judgements=str(path))
    assert after.signature != before[0]
    assert [name for name, digits in contents_of(after).items() if before[1][name] != digits] == ["test_judgements"]


def test_judgements_from_a_pipe_are_read_once(written, tmp_path):
    pipe = tmp_path / "qrels.trec"
    os.mkfifo(pipe)
    threading.Thread(target=pipe.write_text, args=("a 0 02 1\n",), daemon=True).start()
    data = made(written(), test=written(), test_judgements=str(pipe))
    assert data.signature == data.signature
    assert data.part("test").qrels == {"a": {"02": 1}}


def test_judgements_of_other_lists_or_of_no_test_are_refused(written, tmp_path):
    path = tmp_path / "qrels.trec"
    path.write_text("z 0 01 1\n")
    with pytest.raises(DataError, match=r"qrels.trec: judges none of the 3 lists of .*log.csv \(b, a, c …\), but z …"):
        made(written(), test=written(), test_judgements=str(path)).part("test")
    with pytest.raises(ConfigError, match=r"test_judgements q\.trec judge the test, and no test is named"):
        made(written(), test_judgements="q.trec")
    with pytest.raises(DataError, match=r"judgements: no file .*none\.trec"):
        made(written(), test=written(), test_judgements=str(tmp_path / "none.trec")).signature  # noqa: B018


def test_items_held_out_stand_in_no_training_list(written):
    import pandas as pd

    rows = [(f"q{i}", f"v{(i * j) % 23}", float(j), float(i + j)) for i in range(1, 12) for j in range(1, 9)]
    table = pd.DataFrame(rows, columns=["session", "video", "words", "seconds"]).drop_duplicates(["session", "video"])
    path = written(table, "items.csv")
    names = {"list_id": "session", "item_id": "video", "label": "seconds"}
    data = EngagementData(train=f"{path}[:70%]", dev=f"{path}[70%:]", split_by="items", **names)
    train, dev = data.whole("train"), data.whole("dev")
    assert not set(train.doc_ids) & set(dev.doc_ids)
    assert set(train.query_ids) & set(dev.query_ids), "a list may have documents in both"
    assert len(train.doc_ids) + len(dev.doc_ids) == len(table)
    expected = {(row.session, row.video): row.words for row in table.itertuples()}
    for part in (train, dev):
        owners = np.repeat(part.query_ids, part.list_offsets.diff())
        for query, doc, feature in zip(owners, part.doc_ids, part.features[:, 0].tolist(), strict=True):
            assert expected[query, doc] == feature
    assert data.signature != EngagementData(train=f"{path}[:70%]", dev=f"{path}[70%:]", **names).signature
    with pytest.raises(ConfigError, match="split_by must be lists or items, got 'rows'"):
        EngagementData(train=path, split_by="rows", **names)
    with pytest.raises(DataError, match="names no items to split by"):
        EngagementData(train=f"{path}[:70%]", split_by="items", **{**names, "item_id": None}).whole("train")
    with pytest.raises(DataError, match="of its items is none; take more"):
        EngagementData(train=f"{path}[:0.1%]", split_by="items", **names).whole("train")
