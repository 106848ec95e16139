"""Commands in processes of their own that begin as a copy of this one, with everything imported, and may be killed."""

import contextlib
import os
import random
import signal
import sys
import time
import warnings

from ltr.cli.main import main

SIGNALS = [signal.SIGKILL, signal.SIGTERM, signal.SIGINT]
#: what each signal makes of the exit status, as a shell says it
STATUS = {"SIGKILL": 137, "SIGTERM": 143, "SIGINT": 130}


def started(arguments, log, prepare=None):
    """A process of its own that has imported everything already; ``prepare`` is called in it first."""
    process = os.fork()
    if process:
        return process
    with contextlib.suppress(BaseException):
        warnings.resetwarnings()
        warnings.simplefilter("ignore")
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(out, 1), os.dup2(out, 2)
        sys.stdout, sys.stderr = (os.fdopen(number, "w", closefd=False) for number in (1, 2))
        status = 99
        try:
            if prepare is not None:
                prepare()
            status = main(arguments)
        except BaseException:
            import traceback

            traceback.print_exc()
        sys.stdout.flush(), sys.stderr.flush()
        os._exit(status)
    os._exit(98)


def ended(process):
    """Exit status as a shell says it."""
    return (lambda code: 128 - code if code < 0 else code)(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]))


def is_running(process):
    return os.waitid(os.P_PID, process, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None


def hit(process, seconds, rng):
    """(signal, exit status) of a process that gets a signal within so many seconds; None where it had ended before."""
    number = rng.choice(SIGNALS)
    time.sleep(rng.uniform(0, 1.05 * seconds))
    if not is_running(process):
        return None
    os.kill(process, number)
    if number == signal.SIGINT and rng.random() < 0.3:  # an impatient user
        time.sleep(rng.uniform(0, 0.02))
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, number)
    return number.name, ended(process)


def generator(seed, name):
    return random.Random(f"{seed} {name}")
