"""Text that can be written: without halves of surrogate pairs, which cutting text in UTF-16 leaves."""

#: what stands for a character that was broken
BROKEN = "\ufffd"


def readable(text: str) -> str:
    """The text with U+FFFD in place of each half of a surrogate pair that stands alone.

    >>> readable("half \\ud83d and \\ud83d\\ude00 whole") == "half \\ufffd and \\U0001f600 whole"
    True
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text
