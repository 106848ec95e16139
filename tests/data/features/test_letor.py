"""LetorData: the same lists in every loader, statistics of train alone, judgements from grades."""

import numpy as np
import pytest
import torch

from ltr.data import LetorData
from ltr.errors import ConfigError, DataError
from ltr.metrics import evaluate
from tests.data.text_data import At

N_LISTS = 12


@pytest.fixture(scope="module")
def fold(tmp_path_factory):
    """A fold of lists of 1 to 5 documents; feature 1 is the line's number, feature 3 the grade."""
    folder = tmp_path_factory.mktemp("Fold1")
    line = 0
    for name in ("train.txt", "vali.txt", "test.txt"):
        rows = []
        for q in range(N_LISTS):
            for d in range(1 + q % 5):
                line += 1
                rows.append(f"{(q + d) % 3} qid:{name[0]}{q} 1:{line} 2:{0.5 * d} 3:{(q + d) % 3}\n")
        (folder / name).write_text("".join(rows))
    return folder


def made(fold, **settings):
    data = LetorData(fold=str(fold), **{"lists_per_batch": 4, **settings})
    data.prepare_data()
    data.setup()
    return data


def documents(loader):
    """{(query, doc id): (features, label)} of all batches."""
    found = {}
    for batch in loader:
        owners = np.repeat(batch.query_ids, batch.list_offsets.diff().numpy()).tolist()
        rows = zip(owners, batch.doc_ids, batch.features.tolist(), batch.labels.tolist(), strict=True)
        for query_id, doc_id, features, label in rows:
            assert (query_id, doc_id) not in found
            found[query_id, doc_id] = (features, label)
    return found


@pytest.mark.parametrize("part", ["train", "dev", "test"])
def test_loaders_hold_what_the_whole_part_holds(fold, part):
    data = made(fold)
    loader = {"train": data.train_dataloader, "dev": data.val_dataloader, "test": data.test_dataloader}[part]()
    whole = data.whole(part)
    assert documents(loader) == documents([whole])
    assert len(whole) == N_LISTS
    assert whole.n_features == data.n_features == 3
    first = whole.features[:, 0]
    assert (first.diff() == 1).all()  # file order
    assert torch.equal(whole.features[:, 2], whole.labels)


def test_the_order_inside_a_training_list_changes_from_epoch_to_epoch_but_not_from_run_to_run(fold):
    def order(epoch):
        data = made(fold)
        data.trainer = At(epoch)
        data._done = lambda: 0
        return [batch.doc_ids for batch in data.train_dataloader()]

    assert order(0) == order(0)
    assert order(0) != order(1)


def test_processes_share_the_batches_of_one(fold):
    def batches(rank, ranks):
        data = made(fold)
        data.trainer = At(0, rank, ranks)
        return [set(batch.query_ids) for batch in data.train_dataloader()]

    one, (left, right) = batches(0, 1), (batches(rank, 2) for rank in range(2))
    assert one == [a | b for a, b in zip(left, right, strict=True)]


def test_long_training_lists_are_cut_at_random_and_dev_is_not(fold):
    data = made(fold, docs_per_list=2)
    drawn = documents(data.train_dataloader())
    assert len(drawn) == sum(min(2, 1 + q % 5) for q in range(N_LISTS))
    data.trainer = At(1)
    assert set(documents(data.train_dataloader())) != set(drawn)
    assert len(documents(data.val_dataloader())) == data.whole("dev").n_docs


def test_shares_of_a_file_have_no_list_in_common(fold):
    path = fold / "train.txt"
    data = LetorData(train=f"{path}[:75%]", dev=f"{path}[75%:]")
    ids = [data.whole(part).query_ids for part in ("train", "dev")]
    assert [len(part) for part in ids] == [9, 3]
    assert set(ids[0]) | set(ids[1]) == {f"t{i}" for i in range(N_LISTS)}
    assert ids[0] == sorted(ids[0], key=lambda q: int(q[1:]))  # in file order
    with pytest.raises(DataError, match=r"train.txt: 0% to 1% of its 12 lists is none; take more"):
        LetorData(train=f"{path}[:1%]").whole("train")


def test_statistics_come_from_the_train_part_alone(fold):
    path = fold / "train.txt"
    data = LetorData(train=f"{path}[:75%]", dev=f"{path}[75%:]", log1p=False)
    features = data.whole("train").features.numpy()
    np.testing.assert_allclose(data.normalisation.shift, features.mean(0), rtol=1e-6)
    np.testing.assert_allclose(data.normalisation.scale, features.std(0), rtol=1e-5)
    assert LetorData(dev=str(path)).normalisation is None


def test_grades_are_judgements(fold):
    data = made(fold)
    assert data.part("dev").qrels["v3"] == {"v3-32e1-7": 0, "v3-ab3c-8": 1, "v3-8ac3-9": 2, "v3-b0a6-10": 0}
    assert data.part("dev").first is None
    known = data.labels_of("dev")
    assert known.gains.tolist() == known.labels.tolist() == data.whole("dev").labels.tolist()
    assert (known.unit, data.back) == ("grades", None)


def test_real_labels_are_no_judgements(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("0.5 qid:1 1:1\n-2 qid:1 1:2\n")
    data = LetorData(train=str(path), dev=str(path), labels="real")
    assert data.part("dev").qrels is None
    assert data.whole("dev").labels.tolist() == [0.5, -2.0]
    for wrong, line in (("0.5 qid:1 1:1\n", 1), ("1 qid:1 1:1\n-2 qid:1 1:2\n", 2)):
        path.write_text(wrong)
        with pytest.raises(
            DataError, match=rf"a.txt:{line}: grades are whole numbers from 0, got .*; for labels in other"
        ):
            LetorData(train=str(path)).prepare_data()


def test_parts_of_different_width_get_columns_of_zeros(tmp_path):
    (tmp_path / "a.txt").write_text("1 qid:1 1:1 2:5\n")
    (tmp_path / "b.txt").write_text("1 qid:1 3:7\n0 qid:1 1:2\n")
    data = LetorData(train=str(tmp_path / "a.txt"), dev=str(tmp_path / "b.txt"))
    assert data.n_features == 3
    assert data.whole("train").features.tolist() == [[1.0, 5.0, 0.0]]
    assert data.whole("dev").features.tolist() == [[0.0, 0.0, 7.0], [2.0, 0.0, 0.0]]
    assert LetorData(train=str(tmp_path / "a.txt"), n_features=5).whole("train").n_features == 5


def test_a_fold_may_be_packed_and_lack_its_test_set(tmp_path, fold):
    import gzip

    for name in ("train.txt", "vali.txt"):
        (tmp_path / f"{name}.gz").write_bytes(gzip.compress((fold / name).read_bytes()))
    data = LetorData(fold=str(tmp_path))
    assert (data.train, data.dev, data.test) == (f"{tmp_path}/train.txt.gz", f"{tmp_path}/vali.txt.gz", None)
    assert LetorData(fold=str(tmp_path), train="x.txt").train == "x.txt"
    with pytest.raises(
        DataError, match=r"the fold .* holds no train.txt \(nor .gz of it\); a fold is a folder with train"
    ):
        LetorData(fold=str(tmp_path / "nowhere"))


def test_the_signature_tells_data_and_settings_apart(fold, tmp_path):
    def signature(**settings):
        return LetorData(**{"train": str(fold / "train.txt"), "dev": str(fold / "vali.txt"), **settings}).signature

    copied = tmp_path / "elsewhere.txt"
    copied.write_bytes((fold / "train.txt").read_bytes())
    assert signature() == signature(train=str(copied))  # content counts, not its place
    others = [{"seed": 1}, {"log1p": False}, {"standardise": False}, {"dev": None}, {"train": f"{copied}[:50%]"}]
    others += [{"lists_per_batch": 3}, {"docs_per_list": 3}, {"labels": "real"}, {"n_features": 4}]
    assert len({signature(), *(signature(**other) for other in others)}) == 1 + len(others)


def test_describe_tells_each_part(fold):
    text = made(fold).describe()
    assert (
        f"train: {fold}/train.txt: 12 lists of 2.8 documents, 3 batches an epoch, 3 features, labels from 0 to 2"
        in text
    )
    assert [line[:5] for line in text.splitlines()] == ["train", "dev: ", "test:"]


def test_a_stage_reads_what_it_needs(fold):
    data = LetorData(fold=str(fold))
    data.setup("validate")
    assert list(data.counts) == ["dev"]
    assert LetorData(train=str(fold / "train.txt")).val_dataloader() == []


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({}, "name a file to train, dev or test on, got none"),
        ({"train": "a", "lists_per_batch": 0}, "lists_per_batch must be at least 1, got 0"),
        ({"train": "a", "docs_per_list": 1}, "docs_per_list must be at least 2, got 1"),
        ({"train": "a", "eval_docs_per_batch": 0}, "eval_docs_per_batch must be at least 1, got 0"),
        ({"train": "a", "n_features": 0}, "n_features must be at least 1, or null to count them, got 0"),
        ({"train": "a", "seed": -1}, "seed and workers must not be negative, got -1 and 0"),
        ({"train": "a", "labels": "stars"}, "labels are grades or real, got 'stars'"),
    ],
)
def test_settings_are_checked(settings, sentence):
    with pytest.raises(ConfigError, match=f"LetorData: {sentence}"):
        LetorData(**settings)


def test_a_part_that_is_not_named(fold):
    with pytest.raises(ConfigError, match="LetorData: dev is not set; name a file"):
        LetorData(train=str(fold / "train.txt")).whole("dev")


@pytest.mark.parametrize("best_first", [True, False])
def test_equal_scores_gain_nothing_from_the_order_of_the_file(tmp_path, best_first):
    """Where the file names no documents, what scores all alike is worth as much as an order drawn at random."""
    grades = sorted([2, 1, 0, 0, 0], reverse=best_first)
    lines = (f"{grade} qid:{q} 1:1\n" for q in range(400) for grade in grades)
    (tmp_path / "sorted.txt").write_text("".join(lines))
    data = LetorData(dev=str(tmp_path / "sorted.txt"))
    whole, qrels = data.whole("dev"), data.part("dev").qrels
    alike = {query_id: dict.fromkeys(docs, 0.5) for query_id, docs in qrels.items()}
    assert len(whole) == 400
    gains = np.array([2, 1, 0, 0, 0]) @ (1 / np.log2(np.arange(2, 7)))  # of the best order
    mean = 3 * np.mean(1 / np.log2(np.arange(2, 7))) / gains
    assert evaluate(alike, qrels, ["ndcg"])["ndcg"] == pytest.approx(mean, abs=0.02)
