"""TextData under a trainer: epochs, workers, resuming, processes, token budgets."""

import pytest
import pytorch_lightning as pl
import torch

from ltr.data.lists.sampling import Sampling
from tests.data.text_data import N_DEV, N_TRAIN, At, lists_of


class Recorder(pl.LightningModule):
    """Learns nothing, remembers every training list as (epoch, batch, query, documents)."""

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)
        self.seen: list[tuple] = []

    def training_step(self, batch, batch_idx):
        bounds = batch.list_offsets.tolist()
        for query_id, first, end in zip(batch.query_ids, bounds, bounds[1:], strict=False):
            self.seen.append((self.current_epoch, batch_idx, query_id, tuple(batch.doc_ids[first:end])))
        return self.layer(torch.ones(1, 1)).sum()

    def validation_step(self, batch, batch_idx):
        pass

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.0)


def trained(made, epochs, folder, resume=None, **options):
    recorder = Recorder()
    quiet = {
        "logger": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "enable_checkpointing": False,
    }
    trainer = pl.Trainer(
        accelerator="cpu", max_epochs=epochs, default_root_dir=folder, num_sanity_val_steps=0, **quiet, **options
    )
    trainer.fit(recorder, datamodule=made, ckpt_path=resume)
    return recorder.seen, trainer


# Lightning recommends workers wherever there are none
@pytest.mark.filterwarnings("ignore:.*does not have many workers")
def test_epochs_draw_anew_with_and_without_workers_and_after_resuming(data, tmp_path):
    alone, _ = trained(data(), 3, tmp_path / "a")
    with_workers, _ = trained(data(workers=1), 3, tmp_path / "b")
    assert with_workers == alone
    _, trainer = trained(data(), 1, tmp_path / "c")
    trainer.save_checkpoint(tmp_path / "one.ckpt")
    resumed, _ = trained(data(), 3, tmp_path / "d", resume=tmp_path / "one.ckpt")
    assert resumed == [one for one in alone if one[0] >= 1]
    by_epoch = [{one[2]: one[3] for one in alone if one[0] == epoch} for epoch in range(3)]
    assert all(len(lists) == N_TRAIN for lists in by_epoch)
    assert by_epoch[0] != by_epoch[1] != by_epoch[2] != by_epoch[0]


def test_two_processes_see_the_batches_of_one(data):
    made = data(sampling=Sampling(docs_per_list=3))
    made.trainer = At(1)
    alone = [sorted(batch.query_ids) for batch in made.train_dataloader()]
    shares, dev = [], []
    for rank in range(2):
        made.trainer = At(1, rank, 2)
        shares.append([batch.query_ids for batch in made.train_dataloader()])
        dev.append(set(lists_of(made.val_dataloader())))
    assert [sorted(first + second) for first, second in zip(*shares, strict=True)] == alone
    assert all(map(all, shares))
    assert dev[0] | dev[1] == {f"v{i}" for i in range(N_DEV - 1)}
    assert not dev[0] & dev[1]


def test_lightning_puts_no_sampler_of_its_own_in_front(data):
    from torch.utils.data import DistributedSampler

    made = data()
    for loader in (made.train_dataloader(), made.val_dataloader()):
        assert isinstance(loader.sampler, DistributedSampler)


def test_token_budget(data):
    made = data(lists_per_batch=None, tokens_per_batch=300)
    loader = made.train_dataloader()
    sums = [len(batch.tokens.ids) for batch in loader]
    assert len(sums) == len(loader) > 2
    assert max(sums) < 300 + 4 * 40
