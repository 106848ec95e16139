"""A Ray cluster: one that answers at an address, or one on this machine that ends with the process."""

from __future__ import annotations

import logging
import os
import socket
from typing import Any

from ltr.errors import ConfigError, MissingExtra
from ltr.machine.cores import cores


def connected(address: str, purpose: str) -> Any:
    """The module ``ray``, connected to a cluster.

    Args:
        address: of an existing cluster (``auto`` or HOST:PORT); ``local`` starts one that ends with the command.
        purpose: what it is needed for, as the end of "ray is needed ...".

    Raises:
        MissingExtra: Ray is not installed.
        ConfigError: no cluster answers at the address, or none can be started here.
    """
    # Ray says good-bye to what it would do by default with GPUs that a task did not ask for
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # no telemetry
    os.environ.setdefault("RAY_worker_niceness", "0")  # else tasks of a local cluster wait behind all other work
    try:
        import ray
    except ImportError:
        raise MissingExtra("ray", "ray", purpose) from None
    _refuse_silence(address)
    settings: dict[str, Any] = {"num_cpus": cores(), "include_dashboard": False} if address == "local" else {}
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **settings)
    except Exception as error:  # which is what Ray raises where its own processes do not start in time
        if address == "local":
            raise ConfigError(
                f"--ray local: the cluster did not start ({error}); try again when the machine is less busy, or leave out --ray"
            ) from error
        raise _nobody(address, error) from error
    return ray


def _refuse_silence(address: str) -> None:
    """Raise ConfigError for a HOST:PORT at which nobody listens; Ray itself would go on asking for many minutes."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not colon:
        return
    try:
        socket.create_connection((host, int(port)), timeout=10).close()
    except (OSError, ValueError) as error:
        raise _nobody(address, error) from error


def _nobody(address: str, error: Exception) -> ConfigError:
    return ConfigError(
        f"--ray {address}: no Ray cluster answers there ({error}); start one with ray start --head, or use --ray local; a "
        "cluster that asks for a token needs RAY_AUTH_TOKEN here too"
    )
