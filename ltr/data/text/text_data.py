"""TextData: training lists and candidates as Lightning batches, from the names of collections."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from functools import cached_property
from typing import Any, Literal

import numpy as np
from torch.utils.data import DataLoader

from ltr.data.base import Part, PartName, RankingData
from ltr.data.collections.collection import Collection, load
from ltr.data.judged import judgements_beside
from ltr.data.lists.batching import EvalBatches, TrainBatches, check_batch_size
from ltr.data.lists.loaders import Loader, TrainLoader
from ltr.data.lists.sampling import Drawn, Sampling, epoch_entries
from ltr.data.text import parts as text_parts
from ltr.data.text.label_scale import LabelScale, tell_one_hot
from ltr.data.text.parts import EvalPart, TrainPart
from ltr.data.text.train_parts import train_part
from ltr.data.tokens.encoder import ListEncoder, encoder_of, stores
from ltr.data.tokens.pairs import PairTemplate, check_lengths, load_tokenizer
from ltr.data.tokens.passage_encoder import passage_encoder
from ltr.data.tokens.passages import Reading, check_stride
from ltr.data.tokens.twin_encoder import twin_encoder
from ltr.data.tokens.twins import behind, template_of
from ltr.errors import ConfigError
from ltr.io.caching.keys import key_of_facts
from ltr.io.labelled import LabelledLists
from ltr.io.names import unless_off
from ltr.io.sources import Source
from ltr.io.trec import Qrels
from ltr.machine.loudness import shows_bars
from ltr.settings import ModelSettings, Prompts, TwinSettings


class TextData(RankingData):
    """Queries and documents to train, validate and test a scorer of texts on.

    Texts are tokenised once into a cache; from then on only integers move. Batches are global: however many processes
    train, they share the same batches. Every epoch draws its lists anew, reproducibly by seed.

    Args:
        train: collection to train on, such as ``msmarco-passage/train/judged``, ``pydocs/train`` or ``folder/train``.
        dev: collection to validate on.
        test: collection to test on when training is over.
        train_candidates: where negatives come from: ``bm25``, ``scoreddocs``, ``qrels`` (judged documents), the name of a
            folder's run, or a TREC run file; ``docpairs`` trains on the data set's own triples, and a file of triples
            (.tsv: query, better and worse document, as ``ltr mine`` writes it) on these. Null takes bm25, or none beside a
            teacher.
        dev_candidates: what is reranked in validation, likewise (no triples).
        test_candidates: what is reranked in the test; default: as ``dev_candidates``.
        teacher: a TREC run whose documents and scores are the training lists and their labels (distillation, real-valued
            labels of any kind); then train_candidates must be null.
        dev_teacher: likewise for validation, instead of ``dev_candidates``; then only measures of labels apply.
        test_teacher: likewise for the test, instead of ``test_candidates``; see ``test_judgements``.
        standardise_labels: take the mean of the teacher's training scores from all its scores and divide by their
            standard deviation, so that links and scorers need not know its unit; ``ndcg_label`` still gains the scores.
            Null does so wherever a teacher is named to train on.
        tokenizer: hub id or folder of the model's tokenizer; ``ltr fit`` takes it from the model.
        max_length: most tokens of an encoded pair (of a document, for scorers that read it apart from the query); longer
            documents lose their end, queries stay.
        max_query_length: most tokens of a query.
        sampling: how training lists are made.
        lists_per_batch: training lists in an optimiser step's batch, over all processes.
        tokens_per_batch: about so many tokens instead (then set ``lists_per_batch`` to null).
        eval_tokens_per_batch: most tokens in a validation batch, unless one query alone has more.
        dev_top: candidates (a teacher's best documents) per query that are scored in validation and test; null: all.
        train_queries: train on so many of the queries, chosen by seed; null uses all.
        dev_queries: validate on so many of the judged (the teacher's) queries, chosen by seed; null uses all.
        train_epoch_lists: lists in an epoch; null draws one for each query (each triple).
        seed: decides subsets, negatives and order.
        workers: loader processes; 0 loads in a thread of the training process, which is fast enough for most models.
        reading: whether dev and test read all of a longer document, in passages; training reads its beginning.
        test_judgements: a TREC file of judgements of the test's queries beside ``test_teacher``: then measures of judgements
            and of the teacher's scores stand side by side.
    """

    def __init__(
        self,
        train: str | None = None,
        dev: str | None = None,
        test: str | None = None,
        train_candidates: str | Literal[False] | None = None,
        dev_candidates: str | Literal[False] | None = "bm25",
        test_candidates: str | Literal[False] | None = None,
        teacher: str | None = None,
        dev_teacher: str | None = None,
        test_teacher: str | None = None,
        standardise_labels: bool | None = None,
        tokenizer: str | None = None,
        max_length: int = 256,
        max_query_length: int = 64,
        sampling: Sampling = Sampling(),  # noqa: B008 (frozen; shown as the default)
        lists_per_batch: int | None = 16,
        tokens_per_batch: int | None = None,
        eval_tokens_per_batch: int = 32_768,
        dev_top: int | None = 50,
        train_queries: int | None = None,
        dev_queries: int | None = None,
        train_epoch_lists: int | None = None,
        seed: int = 0,
        workers: int = 0,
        reading: Reading = Reading(),  # noqa: B008 (frozen; shown as the default)
        test_judgements: str | None = None,
    ):
        super().__init__(train, dev, test)
        check_batch_size(lists_per_batch, tokens_per_batch)
        if sampling.in_batch and lists_per_batch == 1 and not sampling.needs_candidates:
            raise ConfigError(
                "TextData: sampling.in_batch takes the documents of a batch's other lists for negatives, and lists_per_batch 1 "
                "leaves none: nothing would be learnt; take more lists, or docs_per_list above positives"
            )
        if train is dev is test is None:
            raise ConfigError("TextData: name a collection to train, dev or test on, got none")
        counts = {"dev_top": dev_top, "train_queries": train_queries, "dev_queries": dev_queries}
        counts |= {"train_epoch_lists": train_epoch_lists, "eval_tokens_per_batch": eval_tokens_per_batch}
        text_parts.check_counts(counts, seed=seed, workers=workers)
        # a saved configuration of a teacher's dev holds bm25, the default
        train_candidates, test_candidates = unless_off(train_candidates), unless_off(test_candidates)
        dev_candidates = unless_off(dev_candidates) or "bm25"
        text_parts.refuse_two_sources("dev", dev_candidates if dev_candidates != "bm25" else None, dev_teacher)
        text_parts.refuse_two_sources("test", test_candidates, test_teacher)
        self.train_candidates, self.teacher = train_candidates, teacher
        self.dev_teacher, self.test_teacher = dev_teacher, test_teacher
        if test_judgements is not None and None in (test, test_teacher):
            raise ConfigError(
                f"TextData: test_judgements {test_judgements} stand beside the scores of a test_teacher, and "
                f"{'no test' if test is None else 'no test_teacher'} is named; candidates of {test or 'a collection'} are measured "
                "by its own judgements"
            )
        self.test_judgements = test_judgements
        if standardise_labels and teacher is None:
            raise ConfigError(
                "TextData: standardise_labels scales a teacher's scores, and no teacher is named to train on"
            )
        self.standardise_labels = teacher is not None if standardise_labels is None else standardise_labels
        self.dev_candidates = dev_candidates
        self.test_candidates = dev_candidates if test_candidates is None else test_candidates
        self.tokenizer, self.max_length, self.max_query_length = tokenizer, max_length, max_query_length
        self.sampling, self.seed, self.workers, self.reading = sampling, seed, workers, reading
        self.lists_per_batch, self.tokens_per_batch = lists_per_batch, tokens_per_batch
        self.eval_tokens_per_batch, self.dev_top = eval_tokens_per_batch, dev_top
        self.train_queries, self.dev_queries = train_queries, dev_queries
        self.train_epoch_lists = train_epoch_lists
        self._collections: dict[str, Collection] = {}
        self._parts: dict[str, TrainPart | EvalPart] = {}
        self._encoders: dict[str, ListEncoder] = {}
        self._loaded: Any = None
        self._drawn: tuple[int, Drawn, np.ndarray] | None = None
        self._scale: LabelScale | None = None

    # ------------------------------------------------------------------ what Lightning calls

    def prepare_data(self) -> None:
        """Do the slow work once, on one process: find candidates, tokenise what is not in the cache yet."""
        self._check_lengths()
        prompts = self.apart or Prompts()
        show = shows_bars()
        for name in self.named:
            part = self._part(name, progress=show)
            collection = part.collection
            reach = self.max_length if name == "train" else self.reading.reach(self.max_length)
            queries, docs = stores(collection, self._tokenizer, reach, self.max_query_length, prompts)
            queries.ensure(part.query_ids, behind(prompts.query, text_parts.queries_by_id(collection)))
            label = f"tokenising documents of {name}" if show else None
            docs.ensure(part.doc_ids, behind(prompts.doc, collection.texts), progress=label)

    def _check_lengths(self) -> None:
        """Raise ConfigError for lengths and settings that do not fit what the scorer reads."""
        if self.apart is None:
            template = PairTemplate.of(self._tokenizer)
            check_lengths(template, self.max_length, self.max_query_length)
            check_stride(template, self.reading.stride, self.max_length, self.max_query_length)
            if self.sampling.in_batch:
                raise ConfigError(
                    "TextData: sampling.in_batch is for scorers that read queries and documents apart, such as BiEncoder; "
                    "this one reads them together, and would score each document anew for each query"
                )
        else:
            template_of(self._tokenizer, self.max_length, self.max_query_length, self.apart)
            self.inputs  # noqa: B018 (refuses passages)

    def setup(self, stage: str | None = None) -> None:
        """Open the token cache for what a stage needs."""
        for name in self.needed(stage):
            if name not in self._encoders:
                args = self._part(name), self._tokenizer, self.max_length, self.max_query_length
                if self.apart is not None:
                    self._encoders[name] = twin_encoder(*args, self.apart, self.sampling)
                    continue
                plain = name == "train" or self.reading.passages == "first"
                self._encoders[name] = encoder_of(*args) if plain else passage_encoder(*args, self.reading)

    def train_dataloader(self) -> DataLoader:
        """Batches of training lists."""
        rank, ranks = self.place
        batches = TrainBatches(
            self._draw, self.lists_per_batch, self.tokens_per_batch, self.seed, rank, ranks, epoch=self.epoch
        )
        return TrainLoader(self._encoder("train"), batches, lambda: self.batches_done, self.workers)

    def val_dataloader(self) -> DataLoader | list[DataLoader]:
        """Batches of dev candidates; no loader where ``dev`` is not set."""
        return self._eval_loader("dev") if self.dev is not None else []

    def test_dataloader(self) -> DataLoader:
        """Batches of test candidates."""
        return self._eval_loader("test")

    # ------------------------------------------------------------------ what others read

    def part(self, name: PartName) -> Part:
        """The candidates and judgements of dev or test; with a teacher, who is no first stage, what ``test_judgements`` say."""
        part, taught = self._eval_part(name), self._teacher(name) is not None
        qrels = self._beside if name == "test" and self.test_judgements is not None else part.qrels
        return Part(list(part.run.query_ids), qrels, None if taught else part.run, self.labels_of(name))

    @property
    def inputs(self) -> ModelSettings:
        lengths = self.max_length, self.max_query_length
        kind = ModelSettings if self.apart is None else TwinSettings
        return kind(*lengths, trained_on=self.trained_on, **asdict(self.reading))

    def labels_of(self, part: str) -> LabelledLists:
        """The labels of dev or test in full precision: what is learnt, and what the judgements or the teacher say."""
        judged, taught = self._eval_part(part), self._teacher(part) is not None
        read, unit = judged.labels, "teacher's scores" if taught else "grades"
        scaled = taught and self._scale is not None
        learnt = self._scale.scaled(read) if scaled else read  # type: ignore[union-attr]
        return LabelledLists(
            judged.query_ids, judged.run.offsets, learnt, read, (), f"standardised {unit}" if scaled else unit, unit
        )

    @property
    def train_labels(self) -> np.ndarray | None:
        """[documents] the labels that training lists are drawn from; None without a train part."""
        if self.train is None:
            return None
        part = self._part("train")
        assert isinstance(part, TrainPart)
        return np.concatenate([part.pool.first_labels, part.pool.rest_labels])

    @property
    def back(self) -> Callable[[np.ndarray], np.ndarray] | None:
        """Turns predictions into the unit of the teacher's scores; None where they are in that unit."""
        return None if self._scale is None else self._scale.back

    def collection(self, part: str) -> Collection:
        """The collection that a part (train, dev, test) comes from."""
        return self._collection(part)

    def drawn_from(self, part: PartName) -> TrainPart | EvalPart:
        """What the lists of a part are made from: its collection, queries and documents."""
        return self._part(part)

    @property
    def signature(self) -> str:
        """16 hexadecimal digits that change whenever collections, candidates or settings of the data do."""
        facts: dict[str, Any] = {"sampling": self.sampling.facts}
        for name in self.named:
            collection = self._collection(name)
            sources = [getattr(self, f"{name}_candidates"), self._teacher(name)]
            facts[name] = [
                collection.signature,
                *(text_parts.source_signature(collection, source) for source in sources),
            ]
        for setting in (
            *("max_length", "max_query_length", "lists_per_batch", "tokens_per_batch", "seed"),
            *("dev_top", "train_queries", "dev_queries", "train_epoch_lists", "standardise_labels"),
        ):
            facts[setting] = getattr(self, setting)
        if self.reading != Reading():  # data without it keep the signature that they had
            facts["reading"] = asdict(self.reading)
        if self.test_judgements is not None:  # likewise
            facts["test_judgements"] = self._judgements.digest()
        return key_of_facts(facts)

    @property
    def counts(self) -> dict[str, dict[str, float]]:
        """For each part that is set up: queries, lists, documents per list, tokens per document, share of cut documents."""
        counts: dict[str, dict[str, float]] = {}
        for name, encoder in self._encoders.items():
            part = self._part(name)
            lists = part.lists if isinstance(part, EvalPart) else self._draw(0)[0]
            counts[name] = {"queries": len(set(part.query_ids)), **encoder.facts(lists)}
        return counts

    def describe(self) -> str:
        """What the data are, a line for each part: to be read before training starts."""
        lines = []
        for name, facts in self.counts.items():
            batches = len(self.train_dataloader()) if name == "train" else None
            lines.append(
                text_parts.described(name, getattr(self, name), facts, batches, self.max_length, self.max_query_length)
            )
        return "\n".join(lines)

    # ------------------------------------------------------------------ how it works

    @property
    def _tokenizer(self) -> Any:
        if self._loaded is None:
            if self.tokenizer is None:
                raise ConfigError("TextData: tokenizer is not set; give the model's hub id or folder")
            self._loaded = load_tokenizer(self.tokenizer)
        return self._loaded

    def _collection(self, name: str) -> Collection:
        if name not in self._collections:
            if getattr(self, name) is None:
                raise ConfigError(f"TextData: {name} is not set; name a collection")
            self._collections[name] = load(getattr(self, name))
        return self._collections[name]

    def _part(self, name: str, progress: bool = False) -> TrainPart | EvalPart:
        if name not in self._parts:
            collection = self._collection(name)
            source = getattr(self, f"{name}_candidates")
            teacher = self._teacher(name)
            n_queries = self.dev_queries if name == "dev" else None
            part: TrainPart | EvalPart
            if name == "train":
                part = train_part(collection, source, teacher, self.sampling, self.train_queries, self.seed, progress)
            elif teacher is not None:
                part = text_parts.teacher_part(collection, teacher, self.dev_top, n_queries, self.seed, progress)
            else:
                part = text_parts.eval_part(collection, source, self.dev_top, n_queries, self.seed, progress)
            self._parts[name] = self._scaled(name, part)
        return self._parts[name]

    def _scaled(self, name: str, part: TrainPart | EvalPart) -> TrainPart | EvalPart:
        """The part with the teacher's scores in units of the training scores' deviation, where that is wished."""
        if self._teacher(name) is None:
            return part
        if not self.standardise_labels:
            if isinstance(part, TrainPart):
                tell_one_hot(part.pool.rest, part.pool.rest_labels, str(self.teacher))
            return part
        if isinstance(part, TrainPart):
            self._scale = LabelScale.of(part.pool.rest_labels, f"TextData: teacher {self.teacher}")
            self._scale.tell(str(self.teacher), len(part.pool.rest_labels))
        else:
            self._part("train")
        assert self._scale is not None
        return self._scale.part(part)

    def _teacher(self, name: str) -> str | None:
        return self.teacher if name == "train" else getattr(self, f"{name}_teacher")

    @cached_property
    def _judgements(self) -> Source:
        """The file of ``test_judgements``, of which a pipe is read once."""
        assert self.test_judgements is not None
        return Source(self.test_judgements, "judgements")

    @cached_property
    def _beside(self) -> Qrels:
        """What that file says of the test's queries."""
        advice = "its queries must be those of the teacher's run"
        return judgements_beside(self._judgements, self._eval_part("test").query_ids, str(self.test), advice)

    def _eval_part(self, name: str) -> EvalPart:
        part = self._part(name)
        assert isinstance(part, EvalPart)
        return part

    def _encoder(self, name: str) -> ListEncoder:
        if name not in self._encoders:
            self._collection(name)  # says so when it is not set
            raise ConfigError(f"TextData: {name} is not set up; call prepare_data() and setup() first")
        return self._encoders[name]

    def _draw(self, epoch: int) -> tuple[Drawn, np.ndarray]:
        """The training lists of an epoch and their tokens."""
        # a start asks for the first epoch five times: to describe it, to count batches, to iterate
        if self._drawn is None or self._drawn[0] != epoch:
            part, encoder = self._part("train"), self._encoder("train")
            assert isinstance(part, TrainPart)
            entries = epoch_entries(len(part.pool), self.train_epoch_lists, self.seed, epoch)
            lists = part.pool.draw(entries, self.seed, epoch)
            self._drawn = epoch, lists, encoder.tokens(lists)
        return self._drawn[1:]

    def _eval_loader(self, name: str) -> DataLoader:
        encoder, lists = self._encoder(name), self._eval_part(name).lists
        tokens = encoder.tokens(lists)
        rank, ranks = self.place
        batches = EvalBatches(lists, tokens, tokens / np.diff(lists.offsets), self.eval_tokens_per_batch, rank, ranks)
        return Loader(encoder, batches, self.workers)
