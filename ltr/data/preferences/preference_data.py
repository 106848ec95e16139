"""PreferenceData: prompts with lists of responses, or pairs of them, as Lightning batches."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
from torch.utils.data import DataLoader

from ltr.data.base import Part, PartName, RankingData
from ltr.data.lists.batching import EvalBatches, TrainBatches, check_batch_size
from ltr.data.lists.loaders import Loader, TrainLoader
from ltr.data.lists.ragged import Ragged
from ltr.data.lists.sampling import Drawn, Pool
from ltr.data.preferences.rendering import PreferenceEncoder, form_of
from ltr.data.preferences.table import Preferences, read_preferences, text_of
from ltr.data.tokens.pairs import load_tokenizer, tokenizer_identity
from ltr.errors import ConfigError
from ltr.io.caching.keys import key_of_facts
from ltr.io.labelled import LabelledLists
from ltr.settings import ModelSettings

log = logging.getLogger("ltr")


class PreferenceData(RankingData):
    """Prompts with responses of which some are better, to train a reward model or a policy on.

    Files of JSON lines or Parquet, packed or not: ``prompt`` with ``responses`` (a list of ``text`` with a ``score``,
    ``rating``, ``label`` or number of ``votes``); ``prompt``, ``chosen``, ``rejected`` (and ``margin``, or a label of
    both: ``score_chosen`` and ``score_rejected``, ``chosen_score`` and ``rejected_score``, or ``rating`` or ``reward`` for
    ``score``), also without the prompt, which both then begin with; ``prompt``, ``a``, ``b`` and ``strength`` from -1 to 1, 0 for a tie; ``prompt``, ``completion``, ``label``. Prompts and responses are texts, or
    messages with ``role`` and ``content``; ``chosen`` and ``rejected`` may be lists of texts, and a ``system`` message may stand beside
    the prompt. Ids (``prompt_id``, and ``id`` of a response) have their blanks replaced by ``_``, since runs hold one word.
    ``FILE[:80%]`` is a share of the prompts, and ``FOLDER/train`` the file of that name in a folder.

    What is longer than ``max_length`` loses the beginning of its prompt; responses are kept. What is cut is counted and
    told.

    Args:
        train: file to train on.
        dev: file to validate on.
        test: file to test on when training is over.
        tokenizer: hub id or folder of the model's tokenizer; ``ltr fit`` takes it from the model.
        max_length: most tokens of prompt and response.
        form: ``chat`` (the tokenizer's chat template, applied once), ``pair`` (as encoders read two texts) or ``plain`` (one
            after the other, the end mark behind them); null takes what the tokenizer is made for.
        label: what the label of a response is called, in pairs, too (score, rating, reward, margin); null takes score, rating, label or
            votes. Records without it are refused.
        gain: what best-of-n measures report of a response, such as its rate of wins; null takes the label.
        docs_per_list: responses in a training list, drawn anew in every epoch; null takes all.
        lists_per_batch: training lists in an optimiser step's batch, over all processes.
        tokens_per_batch: about so many tokens instead (then set ``lists_per_batch`` to null).
        eval_tokens_per_batch: most tokens in a validation batch, unless one list alone has more.
        seed: decides which responses are drawn, and the order.
        workers: loader processes; 0 loads in a thread of the training process.

    Raises:
        ConfigError: settings that cannot work.
        DataError: a file that cannot be understood, with the line.
    """

    def __init__(
        self,
        train: str | None = None,
        dev: str | None = None,
        test: str | None = None,
        tokenizer: str | None = None,
        max_length: int = 512,
        form: str | None = None,
        label: str | None = None,
        gain: str | None = None,
        docs_per_list: int | None = 8,
        lists_per_batch: int | None = 16,
        tokens_per_batch: int | None = None,
        eval_tokens_per_batch: int = 32_768,
        seed: int = 0,
        workers: int = 0,
    ):
        super().__init__(train, dev, test)
        if train is dev is test is None:
            raise ConfigError("PreferenceData: name a file to train, dev or test on, got none")
        check_batch_size(lists_per_batch, tokens_per_batch)
        for name, value, least in (
            ("max_length", max_length, 4),
            ("docs_per_list", docs_per_list, 2),
            ("eval_tokens_per_batch", eval_tokens_per_batch, 1),
            ("seed", seed, 0),
            ("workers", workers, 0),
        ):
            if value is not None and value < least:
                raise ConfigError(f"PreferenceData: {name} must be at least {least}, got {value}")
        self.tokenizer, self.max_length, self.form = tokenizer, max_length, form
        self.label, self.gain, self.docs_per_list = label, gain, docs_per_list
        self.lists_per_batch, self.tokens_per_batch = lists_per_batch, tokens_per_batch
        self.eval_tokens_per_batch, self.seed, self.workers = eval_tokens_per_batch, seed, workers
        self._tables: dict[str, Preferences] = {}
        self._encoders: dict[str, PreferenceEncoder] = {}
        self._loaded: Any = None
        self._pool: Pool | None = None

    # ------------------------------------------------------------------ what Lightning calls

    def setup(self, stage: str | None = None) -> None:
        """Read and tokenise what a stage needs, and say what is cut."""
        for name in self.needed(stage):
            self.encoder(name)

    def train_dataloader(self) -> DataLoader:
        """Batches of training lists."""
        rank, ranks = self.place
        batches = TrainBatches(
            self._draw, self.lists_per_batch, self.tokens_per_batch, self.seed, rank, ranks, epoch=self.epoch
        )
        return TrainLoader(self.encoder("train"), batches, lambda: self.batches_done, self.workers)

    def val_dataloader(self) -> DataLoader | list[DataLoader]:
        """Batches of dev lists; no loader where ``dev`` is not set."""
        return self._eval_loader("dev") if self.dev is not None else []

    def test_dataloader(self) -> DataLoader:
        """Batches of test lists."""
        return self._eval_loader("test")

    # ------------------------------------------------------------------ what others read

    def part(self, name: PartName) -> Part:
        """Prompts in file order with their labels; no judgements, since labels are real values, and no first stage."""
        table = self.table(name)
        unit, read = self.label or "label", self.gain or self.label or "label"
        known = LabelledLists(
            table.prompt_ids, table.offsets, table.labels, table.gains, table.names, unit, read, table.characters
        )
        return Part(list(table.prompt_ids), None, None, known)

    @property
    def train_labels(self) -> np.ndarray | None:
        return None if self.train is None else self.table("train").labels

    @property
    def inputs(self) -> ModelSettings:
        form = form_of(self.loaded_tokenizer, self.form)
        return ModelSettings(self.max_length, max(1, self.max_length // 2), form=form, trained_on=self.trained_on)

    @property
    def signature(self) -> str:
        """16 hexadecimal digits that change whenever files or settings of the data do."""
        facts: dict[str, Any] = {name: [getattr(self, name), self.table(name).digest] for name in self.named}
        for setting in (
            "max_length",
            "form",
            "label",
            "gain",
            "docs_per_list",
            "lists_per_batch",
            "tokens_per_batch",
            "seed",
        ):
            facts[setting] = getattr(self, setting)
        return key_of_facts(facts)

    def describe(self) -> str:
        """What the data are, a line for each part that is set up: to be read before training starts."""
        lines = []
        for name, encoder in self._encoders.items():
            table, cut = encoder.table, self.cut(name)
            tied, pairs = table.ties
            batches = f", {len(self.train_dataloader())} batches an epoch" if name == "train" else ""
            said = [
                f"{name + ':':<6} {getattr(self, name)}: {len(table):,} prompts with {len(table.responses) / len(table):.1f} "
                f"responses{batches}, {tied:,} of {pairs:,} pairs tied, labels from {table.labels.min():g} to "
                f"{table.labels.max():g}"
            ]
            if told := self.describe_cut(name):
                said.append(told)
            if name != "train" and tied == pairs:
                said.append(
                    "no two responses to a prompt have other labels, so that measures of pairs are what chance gives"
                )
            if cut["alike"]:
                said.append(
                    f"{cut['alike']:,} pairs of different labels are the same responses then, of which nothing can be learnt"
                )
            if empty := sum(not text_of(one).strip() for one in table.responses):
                said.append(f"{empty:,} responses are empty: no more than an end mark")
            if table.same:
                said.append(f"{table.same:,} pairs of equal texts are ties")
            if contradicted := table.contradicted:
                said.append(f"{contradicted:,} pairs of equal texts have other labels, of which nothing can be learnt")
            lines.append("; ".join(said))
        return "\n".join(lines)

    def describe_cut(self, part: str) -> str:
        """How much of a part is cut, in words; empty where nothing is."""
        cut = self.cut(part)
        if not (cut["prompts"] or cut["responses"]):
            return ""
        return (
            f"at {self.max_length} tokens {cut['prompts']:,} prompts lose their beginning and {cut['responses']:,} responses "
            "their end"
        )

    def table(self, part: str) -> Preferences:
        """The preferences of a part (train, dev, test)."""
        if part not in self._tables:
            name = getattr(self, part)
            if name is None:
                raise ConfigError(f"PreferenceData: {part} is not set; name a file")
            self._tables[part] = read_preferences(name, self.label, self.gain)
        return self._tables[part]

    def digest(self, part: PartName) -> str:
        """Digits of the content of a part's whole file, which is read once: it may be a pipe."""
        return self.table(part).digest

    def encoder(self, part: str) -> PreferenceEncoder:
        """What makes the batches of a part."""
        if part not in self._encoders:
            form = form_of(self.loaded_tokenizer, self.form)
            made = PreferenceEncoder.of(self.table(part), self.loaded_tokenizer, form, self.max_length)
            self._encoders[part] = made
        return self._encoders[part]

    def cut(self, part: str) -> dict[str, int]:
        """How many prompts of a part lose their beginning, and how many responses their end: it is told before training."""
        return self.encoder(part).cut()

    @property
    def loaded_tokenizer(self) -> Any:
        """The tokenizer itself."""
        if self._loaded is None:
            if self.tokenizer is None:
                raise ConfigError("PreferenceData: tokenizer is not set; give the model's hub id or folder")
            self._loaded = load_tokenizer(self.tokenizer)
        return self._loaded

    @property
    def tokenized_as(self) -> str:
        """What tells tokenisations of the same file apart."""
        return (
            f"{tokenizer_identity(self.loaded_tokenizer)} {form_of(self.loaded_tokenizer, self.form)} {self.max_length}"
        )

    # ------------------------------------------------------------------ how it works

    def _draw(self, epoch: int) -> tuple[Drawn, np.ndarray]:
        """The training lists of an epoch and their tokens."""
        encoder = self.encoder("train")
        if self._pool is None:
            table = encoder.table
            none = Ragged(np.zeros(0, np.int32), np.zeros(len(table) + 1, np.int64))
            self._pool = Pool(
                query_ids=list(table.prompt_ids),
                doc_ids=[],
                first=none,
                first_labels=np.zeros(0, np.float32),
                rest=Ragged(np.arange(len(table.responses), dtype=np.int32), table.offsets),
                rest_labels=table.labels.astype(np.float32),
                relevant=none,
                most=self.docs_per_list,
            )
        lists = self._pool.draw(np.arange(len(self._pool)), self.seed, epoch)
        return lists, encoder.tokens(lists)

    def _eval_loader(self, part: str) -> DataLoader:
        encoder = self.encoder(part)
        lists = encoder.drawn()
        tokens = encoder.tokens(lists)
        rank, ranks = self.place
        batches = EvalBatches(lists, tokens, tokens / np.diff(lists.offsets), self.eval_tokens_per_batch, rank, ranks)
        return Loader(encoder, batches, self.workers)
