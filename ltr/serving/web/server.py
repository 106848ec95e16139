"""The process: a port, signals, and an end without losing a request."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import uvicorn
from fastapi import FastAPI

from ltr.errors import ConfigError, LtrError
from ltr.serving.service import Service

log = logging.getLogger(__name__)


class Server(uvicorn.Server):
    """uvicorn's, whose signals are ours."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def bound(host: str, port: int) -> socket.socket:
    """A socket that holds an address.

    Raises:
        ConfigError: somebody else has it, or this machine does not.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    own = socket.socket(family)
    own.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        own.bind((host, port))
    except OSError as error:
        own.close()
        raise ConfigError(
            f"serve: {host}:{port} cannot be listened on ({error.strerror or error}); give another --port, or another --host"
        ) from error
    return own


def serve(app: FastAPI, service: Service, listening: socket.socket, grace: float, drain: float) -> None:
    """Answer until a signal asks for the end; the models are loaded meanwhile.

    Args:
        app: of the service.
        service: what answers.
        listening: a bound socket.
        grace: seconds after SIGTERM in which new requests are still answered, while /ready says that they should go elsewhere.
        drain: seconds that requests have to end after that.

    Raises:
        LtrError: the models cannot be loaded.
    """
    config = uvicorn.Config(
        app, log_config=None, access_log=False, server_header=False, date_header=False, timeout_keep_alive=75,
        timeout_graceful_shutdown=max(1, round(drain)), lifespan="on", backlog=2048,
    )  # fmt: skip
    asyncio.run(_serve(Server(config), service, listening, grace))


async def _serve(server: Server, service: Service, listening: socket.socket, grace: float) -> None:
    loop = asyncio.get_running_loop()
    failed: list[BaseException] = []
    tasks: set[asyncio.Task[None]] = set()

    def begin(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        task = loop.create_task(work())
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    async def load() -> None:
        try:
            await asyncio.to_thread(service.load)
        except Exception as error:  # raised when the server has stopped
            if not service.draining:  # else the end was asked for while models were loaded
                failed.append(error)
                server.should_exit = True
        else:
            log.info("serve: ready: %s", ", ".join(service.models.held))

    async def reload() -> None:
        await asyncio.to_thread(service.reload)

    async def end() -> None:
        if service.draining:  # asked for twice
            server.should_exit = server.force_exit = True
            return
        service.draining = True
        log.info("serve: no new requests are wanted; what has come is answered")
        await asyncio.sleep(grace)
        server.should_exit = True

    async def stop() -> None:
        nonlocal grace
        grace = 0.0  # at a terminal nobody asks /ready
        await end()

    for number, work in ((signal.SIGTERM, end), (signal.SIGINT, stop), (signal.SIGHUP, reload)):
        loop.add_signal_handler(number, begin, work)
    begin(load)
    try:
        await server.serve(sockets=[listening])
    finally:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.remove_signal_handler(number)
    if failed:
        error = failed[0]
        raise (
            error
            if isinstance(error, LtrError)
            else ConfigError(f"serve: the models cannot be loaded: {type(error).__name__}: {error}")
        ) from error
