"""A teacher's scores as real-valued labels: of training, dev and test lists, also where nothing is judged."""

import shutil

import numpy as np
import pytest

from ltr.data.collections.collection import load
from ltr.data.contents import contents_of
from ltr.data.lists.sampling import Sampling
from ltr.data.text.label_scale import LabelScale, top_share
from ltr.errors import ConfigError, DataError
from ltr.io.labelled import LabelledLists
from ltr.io.trec import read_run
from tests.data.text_data import documents, lists_of

QUERIES = [*(f"t{i}" for i in range(12)), *(f"v{i}" for i in range(6))]


@pytest.fixture(scope="module")
def unjudged(folder, tmp_path_factory):
    """The folder without judgements, and a teacher's run over all its queries."""
    path = tmp_path_factory.mktemp("other") / "unjudged"
    shutil.copytree(folder, path)
    for judgements in path.glob("qrels.*"):
        judgements.unlink()
    lines = [f"{q} Q0 d{j} 1 {(j * 7) % 10 - i / 8} big\n" for i, q in enumerate(QUERIES) for j in range(10)]
    (path / "run.big.trec").write_text("".join(lines))
    return path


def test_dev_lists_are_the_teachers_best_documents_with_its_scores(data, folder, unjudged):
    run = unjudged / "run.big.trec"
    made = data(dev_candidates="bm25", dev_teacher=str(run), dev_top=4, eval_tokens_per_batch=200)
    truth = read_run(run).top(4).to_dict()
    assert lists_of(made.val_dataloader()) == {
        q: pytest.approx(truth[q]) for q in truth if q in load(f"{folder}/dev").queries
    }
    assert made.part("dev").qrels is None
    assert made.part("dev").first is None
    assert made.part("dev").query_ids == [f"v{i}" for i in range(6)]
    assert "6 queries, 6 lists of 4.0 documents" in made.describe()


def test_the_test_has_a_teacher_of_its_own(data, folder, unjudged):
    run = unjudged / "run.big.trec"
    made = data(stage="test", test=f"{folder}/dev", test_teacher=str(run), dev_top=None)
    assert all(len(docs) == 10 for docs in lists_of(made.test_dataloader()).values())
    assert (made.part("test").qrels, made.part("test").first) == (None, None)
    assert made.part("test").query_ids == [f"v{i}" for i in range(6)]
    assert made.part("dev").qrels is not None  # dev stays judged
    assert made.part("dev").query_ids == [f"v{i}" for i in range(5)]  # the judged ones with candidates


def test_the_test_may_be_judged_beside_its_teacher(data, folder, unjudged, tmp_path):
    run, judged = str(unjudged / "run.big.trec"), tmp_path / "qrels.trec"
    judged.write_text("v1 0 d3 1\nv1 0 d99 2\nt1 0 d3 1\n")
    settings = {"stage": "test", "test": f"{folder}/dev", "test_teacher": run, "dev_top": None}
    made, plain = data(**settings, test_judgements=str(judged)), data(**settings)
    assert made.part("test").qrels == {"v1": {"d3": 1, "d99": 2}}  # those of the test's queries
    assert made.part("test").first is None
    held, known = (one.part("test").labels for one in (made, plain))
    assert held.gains.tolist() == known.gains.tolist(), "labels are the teacher's scores as ever"
    assert held.query_ids == known.query_ids == [f"v{i}" for i in range(6)]
    assert made.part("dev").qrels == plain.part("dev").qrels
    before = made.signature, contents_of(made)
    assert before[0] != plain.signature
    judged.write_text("v2 0 d3 1\n")
    after = data(**settings, test_judgements=str(judged))
    assert after.signature != before[0]
    assert [name for name, digits in contents_of(after).items() if before[1][name] != digits] == ["test_judgements"]


def test_judgements_that_cannot_stand_beside_a_teacher_are_refused(data, folder, unjudged, tmp_path):
    judged = tmp_path / "qrels.trec"
    judged.write_text("t1 0 d3 1\n")
    run = str(unjudged / "run.big.trec")
    with pytest.raises(DataError, match=r"qrels.trec: judges none of the 6 lists of .*/dev \(v0, v1, v2 …\), but t1 …"):
        data(stage="test", test=f"{folder}/dev", test_teacher=run, test_judgements=str(judged)).part("test")
    with pytest.raises(ConfigError, match=r"test_judgements q\.trec stand beside .* and no test_teacher is named"):
        data(test=f"{folder}/dev", test_judgements="q.trec")
    with pytest.raises(ConfigError, match=r"test_judgements q\.trec stand beside .* and no test is named"):
        data(test=None, test_teacher=run, test_judgements="q.trec")


def test_a_share_of_the_queries_needs_no_judgements(data, unjudged):
    made = data(
        train=f"{unjudged}[:75%]", dev=f"{unjudged}[75%:]", train_candidates=None, teacher="big", dev_candidates="bm25",
        dev_teacher="big",
    )  # fmt: skip
    train, dev = set(lists_of(made.train_dataloader())), set(lists_of(made.val_dataloader()))
    assert (len(train), len(dev)) == (14, 4)  # of 18
    assert train | dev == set(QUERIES)
    assert not train & dev


def test_queries_that_the_teacher_did_not_score_are_counted_at_every_start(data, unjudged, tmp_path, caplog):
    run = tmp_path / "part.trec"
    run.write_text("".join(f"t{i} Q0 d{j} 1 {j % 3 - i} part\n" for i in range(8) for j in range(5 - i // 4)))
    for _ in range(2):
        caplog.clear()
        made = data(
            train=str(unjudged), dev=None, train_candidates=None, teacher=str(run), sampling=Sampling(docs_per_list=5)
        )
        assert len(lists_of(made.train_dataloader())) == 8
        told = [message for message in caplog.messages if message.startswith(str(unjudged))]
        assert told == [
            f"{unjudged}: 10 of 18 queries have no scores in the teacher's run part and are left out of training: t8, t9, t10, …",
            f"{unjudged}: 4 of 8 training lists hold fewer than docs_per_list 5 documents (the shortest 4), since there are no "
            "more candidates: they are trained on as they are",
        ]


def test_dev_queries_are_chosen_among_the_teachers(data, unjudged):
    made = data(
        train=None, dev=str(unjudged), dev_candidates="bm25", dev_teacher="big", dev_queries=5, stage="validate"
    )
    assert len(made.part("dev").query_ids) == 5
    assert set(lists_of(made.val_dataloader())) == set(made.part("dev").query_ids)
    more = data(train=None, dev=str(unjudged), dev_candidates="bm25", dev_teacher="big", dev_queries=9)
    assert set(made.part("dev").query_ids) < set(more.part("dev").query_ids)


def test_the_signature_knows_the_teachers(data, unjudged, tmp_path):
    run = unjudged / "run.big.trec"
    other = tmp_path / "other.trec"
    other.write_text(run.read_text().replace(" big\n", " bigger\n"))
    names = [None, str(run), str(other)]
    made = [data(dev_candidates="bm25", dev_teacher=name).signature for name in names]
    assert len(set(made)) == 3


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (
            {"dev_teacher": "x"},
            "dev_candidates must be null beside it, got dev_candidates first and dev_teacher x; set data.dev_candidates=null",
        ),
        (
            {"test_candidates": "bm25", "test_teacher": "x"},
            "test_candidates must be null beside it, got test_candidates bm25 and test_teacher x; set data.test_candidates=null",
        ),
    ],
)
def test_candidates_and_a_teacher_contradict_each_other(data, options, sentence):
    with pytest.raises(ConfigError, match=sentence):
        data(**options)


def test_a_teacher_of_other_queries(data, folder, tmp_path):
    run = tmp_path / "other.trec"
    run.write_text("elsewhere Q0 d1 1 1.0 x\n")
    with pytest.raises(DataError, match=r"other.trec has 1 queries, and none of the 6 of .*/dev"):
        data(dev_candidates="bm25", dev_teacher=str(run))


def test_fractional_judgements_become_a_teacher_as_the_message_says(data, unjudged, tmp_path):
    other = shutil.copytree(unjudged, tmp_path / "real")
    judgements = other / "qrels.trec"
    judgements.write_text("".join(f"{q} 0 d{j} {j / 7:.5f}\n" for q in QUERIES for j in range(1, 6)))
    teacher = {"train_candidates": None, "teacher": "labels", "dev_candidates": "bm25", "dev_teacher": "labels"}
    shares = {"train": f"{other}[:50%]", "dev": f"{other}[50%:]"}
    with pytest.raises(DataError) as error:
        data(**shares, train_candidates="qrels", dev_candidates="qrels")
    assert f"{judgements}:1: the grade must be a whole number, got '0.14286'" in str(error.value)
    assert "one line like 't0 Q0 d1 1 0.14286 labels' each" in str(error.value)
    assert "then take this file out of the folder" in str(error.value)
    lines = [line.split() for line in judgements.read_text().splitlines()]
    (other / "run.labels.trec").write_text("".join(f"{q} Q0 {d} 1 {label} labels\n" for q, _, d, label in lines))
    judgements.unlink()
    made = data(**shares, **teacher, standardise_labels=False)
    for docs in lists_of(made.val_dataloader()).values():
        assert docs == pytest.approx({f"d{j}": j / 7 for j in range(1, 6)}, abs=1e-5)


def test_labels_can_be_looked_up_in_the_order_of_the_lists(data, unjudged):
    made = data(train=None, dev=str(unjudged), dev_candidates="bm25", dev_teacher="big")
    flat = [one for batch in made.val_dataloader() for one in documents(batch)]
    sizes = [10] * len(QUERIES)
    order = sorted(range(len(flat)), key=lambda i: made.part("dev").query_ids.index(flat[i][0]))
    truth = LabelledLists(
        made.part("dev").query_ids,
        np.cumsum([0, *sizes]),
        [flat[i][2] for i in order],
        doc_ids=[flat[i][1] for i in order],
    )
    run = read_run(unjudged / "run.big.trec")
    np.testing.assert_allclose(truth.predictions(run), truth.labels, rtol=1e-6)


@pytest.mark.shared
def test_a_real_collection_without_judgements(shared_data, tokenizer):
    from ltr.data.text.text_data import TextData

    whole = shared_data / "trec-dl-2022-unjudged"
    made = TextData(
        f"{whole}[:80%]", f"{whole}[80%:]", teacher="splade", dev_teacher="splade", dev_top=10, tokenizer=tokenizer
    )
    made.prepare_data()
    made.setup()
    train, dev = set(lists_of(made.train_dataloader())), lists_of(made.val_dataloader())
    assert not train & set(dev)
    assert all(len(docs) == 10 for docs in dev.values())
    assert len(train) + len(dev) == len(load(whole).queries)


def test_standardised_labels_know_no_unit_and_give_their_gains_back(data, folder, unjudged):
    run = unjudged / "run.big.trec"
    both = {
        "train_candidates": None,
        "teacher": str(run),
        "dev_candidates": "bm25",
        "dev_teacher": str(run),
        "dev_top": 4,
    }
    plain, scaled = data(**both, standardise_labels=False), data(**both)
    of_train = read_run(run).to_dict()
    values = np.concatenate([list(of_train[q].values()) for q in load(f"{folder}/train").queries if q in of_train])
    for loader in ("train_dataloader", "val_dataloader"):
        found = lists_of(getattr(scaled, loader)())
        for query, labels in lists_of(getattr(plain, loader)()).items():
            raw = np.array(list(labels.values()))
            own = np.array([found[query][doc] for doc in labels])
            np.testing.assert_allclose(own, (raw - values.mean()) / values.std(), rtol=1e-5, atol=1e-6)
    known = scaled.labels_of("dev")
    teacher = read_run(run)
    expected = np.concatenate([teacher[q][1][:4] for q in known.query_ids])
    assert known.gains.dtype == np.float64
    assert known.gains.tolist() == expected.tolist(), "the teacher's own digits"
    np.testing.assert_allclose(known.labels, (expected - values.mean()) / values.std(), rtol=1e-5)
    np.testing.assert_allclose(scaled.back(known.labels), expected, rtol=1e-12)
    assert (known.unit, known.gain_unit) == ("standardised teacher's scores", "teacher's scores")
    assert scaled.mean_label == pytest.approx(0, abs=1e-6)
    assert plain.mean_label == pytest.approx(values.mean(), rel=1e-6)
    assert plain.back is None
    assert scaled.signature != plain.signature
    judged = data(**both, standardise_labels=True, stage="test", test=f"{folder}/dev").labels_of("test")
    assert judged.gains.tolist() == judged.labels.tolist(), "judged, not scaled"
    assert judged.unit == "grades"


@pytest.mark.parametrize("word", [None, "off", False])
def test_candidates_are_switched_off_beside_a_teacher(data, unjudged, word):
    run = str(unjudged / "run.big.trec")
    made = data(train_candidates=word, teacher=run, dev_candidates=word, dev_teacher=run, dev_top=4)
    assert (made.train_candidates, made.dev_candidates) == (None, "bm25")
    assert made.part("dev").qrels is None


def test_labels_that_cannot_be_standardised(data, unjudged, tmp_path):
    with pytest.raises(ConfigError, match="standardise_labels scales a teacher's scores, and no teacher is named"):
        data(standardise_labels=True)
    flat = tmp_path / "flat.trec"
    flat.write_text("".join(f"{q} Q0 d{j} 1 3 x\n" for q in QUERIES for j in range(4)))
    with pytest.raises(
        DataError, match="in each of its 12 lists the teacher's run flat has one score for all documents"
    ):
        data(train_candidates=None, teacher=str(flat), standardise_labels=True)
    with pytest.raises(DataError, match="a run: all 2 labels are 3, so there is nothing to learn or to scale"):
        LabelScale.of(np.array([3.0, 3.0]), "a run")


def test_standardising_is_said_once(data, unjudged, caplog):
    caplog.set_level("INFO", "ltr")
    made = data(train_candidates=None, teacher=str(unjudged / "run.big.trec"))
    assert caplog.text.count("labels are what lies above the mean, in deviations") == 1
    assert "training scores with mean" in caplog.text
    assert made.back is not None


def test_raw_scores_that_a_softmax_makes_one_hot_are_warned_of(data, unjudged, tmp_path, caplog):
    run = {q: dict(docs) for q, docs in read_run(unjudged / "run.big.trec").to_dict().items()}
    lines = [f"{q} Q0 {d} 1 {1e6 * s} x\n" for q, docs in run.items() for d, s in docs.items()]
    (tmp_path / "huge.trec").write_text("".join(lines))
    data(train_candidates=None, teacher=str(tmp_path / "huge.trec"), standardise_labels=False)
    assert (
        "a softmax over its raw scores gives the best document of a list 1.0000 of the weight on average" in caplog.text
    )
    caplog.clear()
    data(train_candidates=None, teacher=str(tmp_path / "huge.trec"))
    assert "a softmax over" not in caplog.text


def test_the_share_of_the_best_document():
    from ltr.data.text.label_scale import top_share

    offsets, scores = np.array([0, 1, 3, 6]), np.array([5.0, 1.0, 2.0, 0.0, 0.0, 3.0])
    expected = (1 / (1 + np.exp(-1)) + 1 / (1 + 2 * np.exp(-3))) / 2
    assert top_share(offsets, scores) == pytest.approx(expected, abs=1e-12)
    assert top_share(np.array([0, 1]), np.array([5.0])) == 0.0


def test_a_standardised_teacher_may_be_sure_where_one_of_least_and_most_is_not():
    """Scores brought to [0, 1] over 32 documents give the best at most e / (e + 31) = .081 of a softmax, whatever they are."""
    random = np.random.default_rng(0)
    lists = random.normal(size=(50, 32))
    lists[:, 0] += 30  # one document that a teacher is sure of
    offsets = np.arange(0, lists.size + 1, 32)
    least, most = lists.min(1, keepdims=True), lists.max(1, keepdims=True)
    assert top_share(offsets, ((lists - least) / (most - least)).ravel()) <= np.e / (np.e + 31) < 0.081
    scaled = LabelScale.of(lists.ravel(), "teacher").scaled(lists.ravel())
    assert top_share(offsets, scaled) > 0.8
