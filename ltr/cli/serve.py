"""``ltr serve``: a trained model behind the addresses that clients of rerankers already call."""

from __future__ import annotations

import logging
from typing import Literal

from ltr.cli.command import at_least, talk
from ltr.cli.command import run as run_command
from ltr.errors import ConfigError, MissingExtra


def serve(
    model: list[str],
    host: str = "127.0.0.1",
    port: int = 8080,
    keys: str | None = None,
    device: str = "auto",
    precision: Literal["auto", "32", "bf16"] = "auto",
    workers: int | None = None,
    slice_tokens: int | None = None,
    max_wait: float = 30.0,
    max_documents: int = 1000,
    max_body_bytes: int = 10_000_000,
    max_query_characters: int = 20_000,
    max_tokens: int = 1_000_000,
    max_length: int | None = None,
    max_query_length: int | None = None,
    passages: Literal["first", "max", "mean"] | None = None,
    stride: int | None = None,
    max_passages: int | None = None,
    grace: float = 0.0,
    drain: float = 30.0,
    log: Literal["text", "json", "off"] = "text",
    allow: list[str] | None = None,
) -> None:
    """Serve trained models to clients of Cohere, Jina, Text Embeddings Inference, vLLM, Infinity and others.

    ltr serve --model runs/demo/best
    ltr serve --model small=runs/small/best large=runs/large/best --port 8200

    SIGTERM and Ctrl-C answer what has come, and end; SIGHUP opens models and keys anew and exchanges them at once.
    See: ltr guide serving

    Args:
        model: folder or hub id of a cross-encoder, or name=folder; several at once.
        host: address to listen on; 0.0.0.0 for all of this machine.
        port: to listen on.
        keys: file of keys, one a line, of which clients must send one; without it the variable LTR_API_KEYS counts.
        device: auto, cpu, cuda, cuda:1 ...
        precision: 32 is exact; bf16 is about twice as fast where the hardware has it; auto is bf16 there.
        workers: how many compute at once (default: one on each physical core, or on each GPU).
        slice_tokens: tokens that a worker computes at once (default: 3072 on a CPU, 24576 on a GPU).
        max_wait: seconds that a request may have to wait; beyond that it is refused with 429 and told when to come again.
        max_documents: of a request.
        max_body_bytes: of a request.
        max_query_characters: of a query.
        max_tokens: of a request, the query counted for each document.
        max_length: tokens of query and document together (default: as the model was trained).
        max_query_length: tokens of the query among them (default: as the model was trained, at most half of max_length).
        passages: what is read of documents longer than that: first reads their beginning; max and mean read all, in
            passages that overlap, and take the largest or mean score (default: as the model was saved, else first).
        stride: tokens from the start of a passage to that of the next, at most (default: 3/4 of a passage).
        max_passages: read so many passages of a document, from its beginning (default: all).
        grace: seconds after SIGTERM in which new requests are still answered, while /ready sends them elsewhere.
        drain: seconds that requests have to end after that.
        log: a line for each request, as text or as JSON, or none.
        allow: packages, or classes by their import paths, that a model may name as its scorer; those of ltr it may anyway.
    """
    talk()
    at_least(
        1, workers=workers, slice_tokens=slice_tokens, max_documents=max_documents, max_body_bytes=max_body_bytes,
        max_query_characters=max_query_characters, max_tokens=max_tokens, stride=stride, max_passages=max_passages,
        max_query_length=max_query_length,
    )  # fmt: skip
    at_least(0, port=port)
    for name, seconds in (("max-wait", max_wait), ("grace", grace), ("drain", drain)):
        if not seconds >= 0:
            raise ConfigError(f"--{name} must be at least 0 seconds, got {seconds}")
    if port > 65535:
        raise ConfigError(f"--port must be at most 65535, got {port}")
    _check_packages()
    from ltr.serving.keys import Keys
    from ltr.serving.web.server import bound
    from ltr.serving.work.models import folders_of

    folders = folders_of(model)
    taken = Keys(keys)
    listening = bound(host, port)
    logging.getLogger("ltr").info("serve: http://%s:%d loads %s", host, listening.getsockname()[1], ", ".join(folders))
    from ltr.inference.reranker import Reranker
    from ltr.inference.scoring import device_of
    from ltr.serving.limits import Limits
    from ltr.serving.service import service_of
    from ltr.serving.web.app import application
    from ltr.serving.web.server import serve as answer
    from ltr.serving.work.engine import Engine, devices

    places = devices(device)

    def opened(folder: str) -> list[Reranker]:
        return [
            Reranker.load(
                folder,
                place,
                precision,
                None,
                max_length,
                max_query_length,
                passages,
                stride,
                max_passages,
                allow or (),
            )
            for place in places
        ]

    engine = Engine(device_of(places[0]).type, workers, max_wait, slice_tokens)
    limits = Limits(max_documents, max_body_bytes, max_query_characters, max_tokens)
    service = service_of(folders, opened, engine, limits, taken)
    answer(application(service, log), service, listening, grace, drain)


def _check_packages() -> None:
    for package in ("fastapi", "uvicorn", "prometheus_client"):
        try:
            __import__(package)
        except ImportError as error:
            raise MissingExtra(package.replace("_", "-"), "serve", "for ltr serve") from error


def main(argv: list[str]) -> None:
    return run_command(serve, argv, prog="ltr serve")
