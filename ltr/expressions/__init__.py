"""One language for values: expressions such as ``Matching(Sigmoid(center=2))`` and mappings with ``class_path``.

What YAML says as ``class_path`` and ``init_args`` an expression says in one line; each is accepted where the other is.
Expressions are Python as links and losses print it, read without handing the text to Python: calls of classes with
literal arguments, ``focus``, ``+`` and ``*``.
"""

from ltr.expressions.classes import class_of, known_names
from ltr.expressions.language import (
    defaults_of,
    expanded,
    mapping_of,
    read,
    sample_of,
    settled_mapping,
    text_of,
    value_of,
)
from ltr.expressions.syntax import called_in, is_expression, is_mapping, names_in, package_of, packages_in

__all__ = [
    "called_in",
    "class_of",
    "defaults_of",
    "expanded",
    "is_expression",
    "is_mapping",
    "known_names",
    "mapping_of",
    "names_in",
    "package_of",
    "packages_in",
    "read",
    "sample_of",
    "settled_mapping",
    "text_of",
    "value_of",
]
