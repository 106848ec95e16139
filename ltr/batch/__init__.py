"""What data, scorers and training hand to each other: lists of documents, ragged, without padding."""

from ltr.batch.features import FeatureLists
from ltr.batch.lists import Lists
from ltr.batch.passage_pooling import PASSAGES, check_passages
from ltr.batch.texts import DIRECTIONS, QUERY_TO_DOC, TextLists, TwinLists
from ltr.batch.tokens import TokenRows

__all__ = [
    "DIRECTIONS",
    "PASSAGES",
    "QUERY_TO_DOC",
    "FeatureLists",
    "Lists",
    "TextLists",
    "TokenRows",
    "TwinLists",
    "check_passages",
]
