"""A trained cross-encoder as ONNX, for search engines and browsers: written, and held against the model that it was made from."""

from __future__ import annotations

import inspect
import logging
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ltr.batch import TextLists
from ltr.data.preferences.reader import reader_of
from ltr.data.tokens.reader import Texts
from ltr.errors import ConfigError, LtrError, MissingExtra
from ltr.inference.exports.integers import agreement
from ltr.inference.exports.place import CARD, check_place, describe
from ltr.inference.reranker import Reranker
from ltr.inference.scoring import score
from ltr.io.files import building
from ltr.scorers.cpu.cross_encoder import FusedCrossEncoder
from ltr.scorers.text.cross_encoder import CrossEncoder
from ltr.scorers.text.loading import load

#: where browsers and sentence-transformers look for it
GRAPH = "onnx/model.onnx"
#: version of the operators, and of the file format: ONNX Runtime reads both from 1.14 (2023) on
OPSET, FORMAT = 18, 8
#: inputs by the names that engines give them; a model takes some of them
INPUTS = ("input_ids", "attention_mask", "token_type_ids")
OUTPUT = "logits"
#: bytes of weights that a file of this format cannot hold together with its graph
MOST_BYTES = 2**31 - 2**24
#: rows that are computed at once for the check
ROWS = 32


@dataclass(frozen=True)
class Parity:
    """How far the graph is from the model that it was made from, on real pairs.

    Attributes:
        queries, pairs: how many were scored.
        largest: largest difference of a score.
        spread: standard deviation of the model's scores, to compare that with.
        tau: mean over queries of Kendall's tau-b between both scores.
        read_alike: pairs that ``tokenizer.json`` reads as the model was trained to, token by token.
        cut: pairs of which ltr cuts the query and other tools do not; they are not among ``read_alike``.
    """

    queries: int
    pairs: int
    largest: float
    spread: float
    tau: float
    read_alike: int
    cut: int

    def misses(self, tolerance: float) -> list[str]:
        """What is wrong, with the figures, where a score may differ by ``tolerance``."""
        misses = []
        if not self.largest <= tolerance:
            misses.append(f"a score differs by {self.largest:.2g}, wanted at most {tolerance:g}")
        if other := self.pairs - self.read_alike - self.cut:
            misses.append(
                f"tokenizer.json reads {other} of {self.pairs} pairs as other tokens than the model was trained on"
            )
        return misses


def check_extra() -> None:
    """Raise MissingExtra unless the packages are here that write and run ONNX."""
    for package in ("onnx", "onnxscript", "onnxruntime"):
        try:
            __import__(package)
        except ImportError:
            raise MissingExtra(package, "onnx", "to export to ONNX") from None


def export_onnx(
    exact: Reranker,
    texts: Sequence[Texts],
    folder: str | Path,
    tolerance: float,
    tell: Callable[[Parity], bytes],
) -> None:
    """Write a folder with the graph, ``tokenizer.json`` and what else engines read, once both models agree on real pairs.

    The inputs are int64 [batch, tokens], both axes of any size; ``logits`` is float32 [batch, 1], without an activation.

    Args:
        exact: the model in float32 on the CPU.
        texts: the pairs, as queries with their documents.
        folder: to write; an earlier export there is replaced.
        tolerance: largest difference of a score.
        tell: is told what came of the check, before anything is refused, and returns the folder's card.

    Raises:
        ConfigError: a model that is no cross-encoder, or a place where something else stands.
        LtrError: the models do not agree; nothing is written.
        MissingExtra: packages for ONNX are not installed.
    """
    check_extra()
    if not isinstance(exact.scorer, (CrossEncoder, FusedCrossEncoder)):
        raise ConfigError(
            f"export: --onnx takes cross-encoders, and {exact.source} is read by {type(exact.scorer).__name__}; serve it with "
            "ltr serve"
        )
    names = [name for name in INPUTS if name in exact.tokenizer.model_input_names]
    check_place(folder, exact, GRAPH)
    with building(folder) as made:
        (made / GRAPH).parent.mkdir()
        model = load(exact.source, 0.0, None, None, None, exact.scorer.revision)[0].float().eval()
        names = [name for name in names if name in inspect.signature(model.forward).parameters]
        write_graph(model, names, exact.settings.max_length, made / GRAPH)
        describe(exact, model.config, made)
        parity = compare(exact, texts, made)
        card = tell(parity)
        if missed := parity.misses(tolerance):
            raise LtrError(
                f"export refused, nothing was written: {'; '.join(missed)} (on {parity.pairs} pairs); allow more with "
                "--max-difference, or serve the model with ltr serve, which scores as training does"
            )
        (made / CARD).write_bytes(card)


class _Logits(nn.Module):
    """A transformers model as a function of its inputs in order, to its logits."""

    def __init__(self, model: nn.Module, names: Sequence[str]):
        super().__init__()
        self.model, self.names = model, names

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.model(**dict(zip(self.names, inputs, strict=True)), return_dict=True).logits


def write_graph(model: Any, names: Sequence[str], max_length: int, path: Path) -> None:
    """Write a transformers model with one logit as ONNX, the weights within unless they are too large for that.

    Args:
        model: on the CPU, in float32 and in evaluation mode.
        names: of its inputs.
        max_length: tokens that it may be given.
        path: of the file.
    """
    import onnx

    rows, tokens = torch.export.Dim("batch", min=1), torch.export.Dim("tokens", min=2, max=max(3, max_length))
    # two rows of different length: no size that stands in the example may become a constant
    ids = torch.full((2, min(8, max_length)), 1)
    mask = torch.ones_like(ids)
    mask[1, -1] = 0
    given = {"input_ids": ids, "attention_mask": mask, "token_type_ids": torch.zeros_like(ids)}
    large = sum(p.numel() * p.element_size() for p in model.parameters()) > MOST_BYTES
    with _quiet():
        torch.onnx.export(
            _Logits(model, names),
            tuple(given[name] for name in names),
            path,
            input_names=list(names),
            output_names=[OUTPUT],
            opset_version=OPSET,
            dynamo=True,
            dynamic_shapes=(tuple({0: rows, 1: tokens} for _ in names),),
            external_data=large,
            verbose=False,
        )
    graph = onnx.load(path, load_external_data=False)
    graph.ir_version = FORMAT
    onnx.save(graph, path)
    onnx.checker.check_model(str(path))


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what torch's exporter says of packages that are not needed, and of its own parts that are to go."""
    log = logging.getLogger("torch.onnx")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)


def compare(exact: Reranker, texts: Sequence[Texts], folder: Path) -> Parity:
    """Score pairs by the model and by the exported graph; see ``Parity``."""
    from onnxruntime import InferenceSession, SessionOptions
    from tokenizers import Tokenizer

    # engines read the beginning of a document, in one row
    settings = exact.settings.reading("first")
    encoder = reader_of(exact.tokenizer, settings)
    options = SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = InferenceSession(str(folder / GRAPH), options, providers=["CPUExecutionProvider"])
    reading = Tokenizer.from_file(str(folder / "tokenizer.json"))
    reading.no_padding()
    reading.no_truncation()  # which cuts no text that stands alone: it would raise
    lengths = [len(reading.encode(one.query, add_special_tokens=False).ids) for one in texts]
    reading.enable_truncation(settings.max_length, strategy="only_second")
    wanted, found, alike, cut = [], [], 0, 0
    for one, length in zip(texts, lengths, strict=True):
        batch = encoder.batch([one])
        wanted += [scored.scores for scored in score(exact.scorer, [batch], "cpu", None)]
        found.append(graph_scores(session, batch, exact.tokenizer.pad_token_id or 0))
        if length > settings.max_query_length:
            cut += len(one.docs)
            continue
        offsets = batch.tokens.offsets.tolist()
        rows = [batch.tokens.ids[a:b].tolist() for a, b in pairwise(offsets)]
        theirs = reading.encode_batch([(one.query, text) for text in one.docs])
        alike += sum(row == their.ids for row, their in zip(rows, theirs, strict=True))
    flat = [np.concatenate(side) for side in (wanted, found)]
    return Parity(
        len(wanted), len(flat[0]), float(np.abs(flat[0] - flat[1]).max()), float(flat[0].std()),
        agreement(wanted, found), alike, cut,
    )  # fmt: skip


def graph_scores(session: Any, batch: TextLists, padding: int) -> np.ndarray:
    """[documents] scores of a batch by an exported graph, an ``onnxruntime.InferenceSession``; rows are padded at their ends.

    Args:
        session: of the graph.
        batch: whose documents are a row each.
        padding: the token that fills rows.
    """
    lengths = batch.lengths.numpy()
    starts = batch.tokens.offsets.numpy()[:-1]
    ids, marks = batch.tokens.ids.numpy(), batch.tokens.marks.numpy()
    scores = np.empty(len(lengths), np.float32)
    order = np.argsort(lengths, kind="stable")
    for rows in np.split(order, range(ROWS, len(order), ROWS)):
        columns = np.arange(lengths[rows].max())
        real = columns < lengths[rows, None]
        places = np.where(real, starts[rows, None] + columns, 0)
        given = {
            "input_ids": np.where(real, ids[places], padding),
            "attention_mask": real,
            "token_type_ids": np.where(real, marks[places], 0),
        }
        taken = {one.name: given[one.name].astype(np.int64) for one in session.get_inputs()}
        scores[rows] = session.run([OUTPUT], taken)[0][:, 0]
    return scores


def size_of(folder: str | Path) -> int:
    """Bytes of the graph and of weights beside it."""
    return sum(path.stat().st_size for path in Path(folder, os.path.dirname(GRAPH)).iterdir())
