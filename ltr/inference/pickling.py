"""Rankers that can be sent to other processes: by pickle, as Spark and Ray do it, or as an argument of a new process."""

from __future__ import annotations

import copy
import pickle
from typing import Any, TypeVar

Own = TypeVar("Own", bound="Picklable")


class Picklable:
    """An object that is pickled with all of its weights, so that it needs no file where it arrives.

    As one piece of bytes: torch would otherwise move the weights of the one that is sent into memory that processes share,
    with a file handle for each of them.
    """

    def __reduce__(self) -> tuple[Any, ...]:
        return _unpickled, (type(self), pickle.dumps(self.__dict__, pickle.HIGHEST_PROTOCOL))

    def __deepcopy__(self: Own, memo: dict[int, Any]) -> Own:
        made = object.__new__(type(self))
        memo[id(self)] = made
        made.__dict__.update(copy.deepcopy(self.__dict__, memo))
        return made


def _unpickled(kind: type[Picklable], content: bytes) -> Picklable:
    made: Picklable = object.__new__(kind)
    made.__dict__.update(pickle.loads(content))  # part of what the user unpickles
    return made
