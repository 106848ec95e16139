"""Work done ahead by a thread, so that who takes the results does not wait for them."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple, TypeVar

T = TypeVar("T")

#: seconds after which a thread that has nothing to do looks whether it should end
PAUSE = 0.1


class _End(NamedTuple):
    """The last thing a thread gives: why it ended."""

    error: BaseException | None


def prefetched(items: Iterable[T], depth: int = 2) -> Iterator[T]:
    """The items, in their order, up to ``depth`` of them made before they are asked for.

    An error of the thread comes where its item would have come. Whoever stops early ends the thread too.

    Args:
        items: iterated by the thread, from the first request on.
        depth: at least 1.

    >>> list(prefetched(range(3)))
    [0, 1, 2]
    """
    made: queue.Queue[Any] = queue.Queue(depth)
    stopped = threading.Event()

    def put(item: Any) -> bool:
        while not stopped.is_set():
            try:
                made.put(item, timeout=PAUSE)
                return True
            except queue.Full:
                continue
        return False

    def work() -> None:
        try:
            for item in items:
                if not put(item):
                    return
        except BaseException as error:  # whatever it is, the one who waits must hear of it
            put(_End(error))
        else:
            put(_End(None))

    thread = threading.Thread(target=work, name="ltr-ahead", daemon=True)
    thread.start()
    try:
        while not isinstance(item := made.get(), _End):
            yield item
        if item.error is not None:
            raise item.error
    finally:
        stopped.set()
        if thread is not threading.current_thread():  # where the garbage collector may close what nobody holds
            thread.join()
