"""Keys of settings and texts."""

import os

import pytest

from ltr.io.caching.keys import key_of, key_of_parts


@pytest.mark.parametrize("key", [key_of, key_of_parts])
def test_a_name_that_is_no_utf_8_has_a_key_of_its_own(key):
    names = [os.fsdecode(name) for name in (b"caf\xe9", b"caf\xe8", "café".encode())]
    assert len({key(name) for name in names}) == 3
