"""Which micro-batches are computed again for the gradient, and in which order."""

import pytest
import torch

from ltr.scorers.recomputing import computed


def counted(again, grad=True):
    """(pieces in the order of their computation, gradient) of a sum of squares with dropout, piece by piece."""
    weight, asked = torch.ones(3, requires_grad=True), []

    def squares(piece):
        asked.append(len(piece))
        return torch.dropout(piece[:, None] * weight, 0.5, True).square().sum(1)

    torch.manual_seed(3)
    with torch.set_grad_enabled(grad):
        values = torch.cat(computed(squares, [torch.ones(1), torch.ones(2), torch.ones(5)], again))
    if grad:
        values.sum().backward()
    return asked, weight.grad


def test_all_pieces_but_the_last_are_computed_again_with_the_same_numbers():
    asked, gradient = counted(True)
    assert asked == [1, 2, 5, 2, 1]
    plain, wanted = counted(False)
    assert plain == [1, 2, 5]
    assert torch.equal(gradient, wanted)


def test_without_a_gradient_nothing_is_computed_again():
    assert counted(True, grad=False)[0] == [1, 2, 5]


def test_an_error_that_somebody_holds_has_no_part_in_later_passes():
    def fails(piece):
        if len(piece) == 2:
            raise ValueError("this one")
        return piece * weight[0]

    weight = torch.ones(3, requires_grad=True)
    with pytest.raises(ValueError, match="this one") as held:
        computed(fails, [torch.ones(1), torch.ones(2), torch.ones(5)], True)
    other = torch.full((2,), 3.0, requires_grad=True)
    (other * other).sum().backward()
    assert torch.equal(other.grad, torch.full((2,), 6.0))
    assert held.value.__traceback__ is not None


def test_an_error_of_the_second_pass_comes_through():
    passes = []

    def fails(piece):
        passes.append(piece)
        if len(passes) == 3:
            raise ValueError("again")
        return piece * weight[0]

    weight = torch.ones(3, requires_grad=True)
    values = torch.cat(computed(fails, [torch.ones(1), torch.ones(2)], True))
    with pytest.raises(ValueError, match="again"):
        values.sum().backward()


def test_retrievers_keep_their_longest_micro_batch(tiny_model):
    from ltr.scorers import BiEncoder

    model = BiEncoder(str(tiny_model), checkpointing=True, batch_docs=2).train()
    reader = model.reader(model.usual_settings())
    rows = reader.docs(["a", "a b c d e f g", "a b", "a b c d e f", "a b c"])
    seen = []

    def compute(piece):
        seen.append(sorted(piece.tolist()))
        return torch.ones(len(piece), requires_grad=True).exp()

    sum(values.sum() for _, values in model.in_pieces(compute, rows, None)).backward()
    assert seen[:3] == [[0], [2, 4], [1, 3]]
    assert sorted(seen[3:]) == [[0], [2, 4]]
