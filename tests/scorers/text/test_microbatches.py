import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ltr.batch import TextLists, TokenRows
from ltr.scorers.text.microbatches import padded, plan


@settings(max_examples=60, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 200), max_size=60),
    tokens=st.integers(1, 500),
    docs=st.none() | st.integers(1, 7),
)
def test_every_document_once_within_the_budget_and_longest_first(lengths, tokens, docs):
    sizes = torch.tensor(lengths, dtype=torch.int64)
    pieces = plan(sizes, tokens, docs)
    assert sorted(torch.cat([*pieces, torch.zeros(0, dtype=torch.int64)]).tolist()) == list(range(len(lengths)))
    for piece in pieces:
        assert len(piece) * int(sizes[piece].max()) <= tokens or len(piece) == 1
        assert docs is None or len(piece) <= docs
    longest = [int(sizes[piece].max()) for piece in pieces]
    assert longest == sorted(longest, reverse=True)


def test_little_is_padding():
    lengths = torch.randint(10, 256, (512,), generator=torch.Generator().manual_seed(0))
    computed = sum(len(piece) * int(lengths[piece].max()) for piece in plan(lengths, 2048))
    assert computed <= 1.05 * int(lengths.sum())


def test_padding_takes_nothing_from_neighbours():
    batch = TextLists(
        torch.tensor([0, 3]),
        tokens=TokenRows(
            torch.tensor([7, 8, 9, 4, 5, 6]), torch.tensor([1, 1, 1, 0, 1, 1]), torch.tensor([0, 3, 4, 6])
        ),
    )
    ids, segments, mask = padded(batch.tokens, torch.tensor([2, 1]), pad_id=99)
    assert ids.tolist() == [[5, 6], [4, 99]]
    assert segments.tolist() == [[1, 1], [0, 0]]
    assert mask.tolist() == [[True, True], [True, False]]


@pytest.mark.parametrize("tokens", [1, 10**6])
def test_no_documents_no_pieces(tokens):
    assert plan(torch.zeros(0, dtype=torch.int64), tokens) == []
