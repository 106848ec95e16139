"""Preferences on the command line: looking a file over, and measuring runs against it."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ltr.errors import ConfigError

if TYPE_CHECKING:
    from ltr.report.tables.table import Table

log = logging.getLogger(__name__)

#: what is measured where nothing is asked for
MEASURES = ["pair_accuracy", "pair_accuracy_top.2", "best_of", "best_of@4", "regret", "spearman_length"]


def checked(path: str, tokenizer: str | None, max_length: int, form: str | None) -> str:
    """Counts of a file of preferences; with a tokenizer also what is cut, and three examples as a model reads them."""
    from ltr.data import PreferenceData
    from ltr.data.preferences.rendering import form_of, shown
    from ltr.data.preferences.table import read_preferences
    from ltr.io.model_names import located

    if tokenizer is None:
        table = read_preferences(path)
        tied, pairs = table.ties
        return (
            f"{path}: {len(table):,} prompts, {len(table.responses):,} responses, {tied:,} of {pairs:,} pairs tied, labels "
            f"from {table.labels.min():g} to {table.labels.max():g}; --tokenizer tells what a model would read"
        )
    data = PreferenceData(dev=path, tokenizer=located(tokenizer), max_length=max_length, form=form)
    encoder = data.encoder("dev")
    found = form_of(data.loaded_tokenizer, form)
    head = f"form {found}; three prompts as a model reads them, tokens of the responses in brackets:"
    return f"{data.describe().removeprefix('dev:').lstrip()}\n\n{head}\n{shown(encoder, data.loaded_tokenizer)}"


def scored(
    models: Mapping[str, str], path: str, label: str | None, gain: str | None, device: str, allow: Sequence[str]
) -> dict[str, Any]:
    """Name -> run: what models of responses score those of a file, read as they were trained to read.

    A file from elsewhere tells how far what was learnt reaches; prompts that a model was trained on are told.

    Args:
        models: folder -> name.
        path: the file of preferences.
        label, gain: see ``measured``.
        device: where they compute.
        allow: see ``load_scorer``.

    Raises:
        ConfigError: a model that was not trained on responses.
    """
    from ltr.data import PreferenceData
    from ltr.data.overlap import learnt_prompts
    from ltr.inference import Reranker
    from ltr.inference.scoring import score
    from ltr.io.trec import Run
    from ltr.machine.loudness import shows_bars

    runs = {}
    for folder, name in models.items():
        ranker = Reranker.load(folder, device, "32", allow=allow)  # in bfloat16 the gap of a pair moves by tenths
        settings = ranker.settings
        if not settings.form:
            raise ConfigError(
                f"--model {folder} was not trained on preferences: how it would read prompts and responses is not said; give a "
                "reward model or a policy that ltr fit saved, or a run of your own by --run"
            )
        data = PreferenceData(
            test=path, tokenizer=folder, max_length=settings.max_length, form=settings.form, label=label, gain=gain
        )
        table = data.table("test")
        for sentence in (data.describe_cut("test"), learnt_prompts(table, settings.trained_on)):
            if sentence:
                log.warning("%s: %s", name, sentence)
        bar = f"scoring with {name}" if shows_bars() else None
        lists = score(ranker.scorer, data.test_dataloader(), ranker.device, None, bar, len(table))
        found = {one.query_id: dict(zip(one.doc_ids, one.scores.tolist(), strict=True)) for one in lists}
        runs[name] = Run.from_dict(found, name)
    return runs


def measured(
    runs: dict[str, Any], path: str, measures: Sequence[str], label: str | None, gain: str | None, whole: bool
) -> list[Table]:
    """Tables of runs against preferences, beside a random order and the longest responses first.

    Args:
        runs: name -> run, with a score for each response.
        path: the file of preferences.
        measures: measures of labels.
        label: the name of the responses' labels.
        gain: of what best-of-n measures report.
        whole: one table for programs, in which what is measured of pairs stands in columns of its own.
    """
    from ltr.data.preferences.table import read_preferences
    from ltr.metrics import LabelledLists, evaluate_labels
    from ltr.metrics.measures.label_measures import LabelMeasure
    from ltr.metrics.measures.labels import check_measures
    from ltr.metrics.measures.preferences import calibration_error, tie_auc
    from ltr.metrics.measures.yardsticks import yardsticks
    from ltr.report.tables.evaluations import label_table
    from ltr.report.tables.table import Table

    table = read_preferences(path, label, gain)
    truth = LabelledLists(
        table.prompt_ids, table.offsets, table.labels, table.gains, table.names, label or "label", gain or "",
        table.characters,
    )  # fmt: skip
    chosen = [LabelMeasure.parse(measure) for measure in measures]
    check_measures(truth, chosen, path)
    predictions = {name: truth.predictions(run) for name, run in runs.items()}
    rows = [evaluate_labels(p, truth, chosen, name) for name, p in predictions.items()]
    pairs = {
        name: [calibration_error(p, truth.labels, truth.offsets), tie_auc(p, truth.labels, truth.offsets)]
        for name, p in predictions.items()
    }
    names = ["calibration_error", "tie_auc"]
    note = "calibration: of σ(difference of scores), over pairs of different labels; tie_auc: ties nearer than others"
    lists = label_table([*rows, *yardsticks(truth, chosen)], path)
    if whole:
        joined = [[*row, *pairs.get(row[0], [None, None])] for row in lists.rows]
        return [Table([*lists.columns, *names], joined, lists.title, lists.header, [*lists.notes, note])]
    return [lists, Table(["run", *names], [[name, *row] for name, row in pairs.items()], "Pairs of all prompts", note)]
