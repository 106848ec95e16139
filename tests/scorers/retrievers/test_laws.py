"""The laws of retrieval and distillation, and the corners that others got wrong: where each is tested.

Laws
  InfoNCE is the identity of width T                                      test_infonce_is_the_identity_of_width_t
  blocks = the dense matrix, of every loss                                test_blocks_give_the_values_and_gradients_of_the_dense_matrix
                                                                          test_every_loss_on_a_whole_batch_costs_what_the_dense_matrix_costs
  … through model and batch                                               test_the_cost_is_that_of_the_dense_matrix
  cached = dense, dropout on, chunks of 1, 7 and all                      test_cached_gradients_are_the_true_ones_with_dropout_replayed
                                                                          test_cached_gradients_are_the_true_ones_of_token_vectors_and_words
                                                                          test_chunks_of_1_7_and_all_agree_without_dropout
  one process = two                                                       test_two_processes_have_the_gradient_of_one
  masked by id = the matrix without those columns                         test_masked_by_id_is_the_matrix_without_those_columns
                                                                          test_known_positives_are_masked_by_id_and_copies_are_no_columns
  padding side, batch size and pad = end change no score                  test_padding_side_batch_size_and_pad_equal_to_the_end_change_no_vector
                                                                          test_padding_side_and_batch_size_change_no_score_of_token_vectors_and_words
  a common shift changes nothing for affine links alone                   test_a_common_shift_changes_nothing_only_for_affine_links
  finite at scores of 1e4                                                 test_scores_of_ten_thousand_give_finite_costs_and_gradients
  a running centre follows the positives, once a step                     test_a_running_centre_moves_once_a_step_to_the_mean_of_the_positives
                                                                          test_a_running_centre_follows_whole_vectors_once_a_step
                                                                          test_a_running_centre_stands_still_while_a_batch_is_computed_again
  a centre among the negatives is warned of                               test_a_centre_among_the_negatives_is_warned_of
  shared documents are encoded once                                       test_scores_are_products_and_no_row_is_encoded_twice
                                                                          test_shared_documents_are_read_once_by_token_vectors_and_words
  a teacher's scores are standardised once                                test_standardised_labels_know_no_unit_and_give_their_gains_back
  … raw ones that are one-hot are warned of                               test_raw_scores_that_a_softmax_makes_one_hot_are_warned_of
  … and a cosine meets them by a trained scale and shift                  test_saved_scale_and_shift_come_back
Corners
  temperature ignored once gradients are cached                           test_the_temperature_is_kept_when_gradients_are_cached
  gradients doubled, or those of other processes lost                     test_two_processes_have_the_gradient_of_one
  gradients of all but the last mini-batch dropped                        test_cached_gradients_are_the_true_ones_with_dropout_replayed
  vectors kept by the model's name                                        test_weights_decide_and_never_a_name
                                                                          test_what_else_decides_a_vector_is_in_the_key
  pickled vectors                                                         test_nothing_on_the_disk_is_pickled
                                                                          test_files_that_are_damaged
  miners with a rank window alone                                         test_filters_by_a_teacher
                                                                          test_planted_false_negatives_are_all_filtered_at_the_margin
  … unseeded, or in the order of a set                                    test_the_same_seed_chooses_the_same_whatever_else_is_mined
                                                                          test_the_same_seed_gives_the_same_bytes
  … with random padding where they find few                               test_not_enough_negatives_are_counted_and_nothing_fills_up
  … with positives by their place                                         test_what_is_judged_relevant_is_no_negative_nor_is_what_has_its_words
  teachers brought to [0, 1]                                              test_a_standardised_teacher_may_be_sure_where_one_of_least_and_most_is_not
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from torch import nn

from ltr.batch import TokenRows, TwinLists
from ltr.scorers import BiEncoder, LateInteraction, Sparse
from ltr.scorers.retrievers.base import Retriever
from ltr.settings import TwinSettings
from tests.packing import needs_packing
from tests.tiny_model import save_mlm

TESTS = Path(__file__).parents[2]
SETTINGS = TwinSettings(30, 14)
QUERIES = ["how to join two paths", "sort", "read a file"]
DOCS = ["join, two paths.", "sort the list!", "read a file and write the list of paths, " * 3, "split", "of the string"]
KINDS = ["LateInteraction", "Sparse"]


def test_every_test_of_the_table_is_there():
    named = re.findall(r"\btest_\w+", __doc__.split("\n", 2)[2])
    assert len(named) > 35
    folders = ("training", "losses/engines", "scorers/retrievers", "search", "data/candidates", "data/text", "cli")
    texts = [path.read_text() for folder in folders for path in (TESTS / folder).glob("test_*.py")]
    known = {name for text in texts for name in re.findall(r"^def (test_\w+)", text, re.MULTILINE)}
    assert [name for name in named if name not in known] == []


@pytest.fixture(scope="module")
def encoders(tmp_path_factory) -> dict[str, str]:
    """Kind of encoder -> folder of a masked-language model: packed (bert), and padded (mpnet)."""
    home = tmp_path_factory.mktemp("encoders")
    return {kind: save_mlm(home / kind, kind) for kind in ("bert", "mpnet")}


def made(kind: str, source: str, **settings) -> Retriever:
    torch.manual_seed(0)  # the projection is drawn
    if kind == "Sparse":
        return Sparse(source, **settings)
    return LateInteraction(source, dim=8, query_length=16, **settings)


def batch_of(model: Retriever) -> TwinLists:
    """Three lists that share documents."""
    reader = model.reader(SETTINGS)
    rows = torch.tensor([0, 1, 2, 3, 4, 4, 2, 1, 1])
    return TwinLists(torch.tensor([0, 5, 7, 9]), rows=rows, queries=reader.queries(QUERIES), docs=reader.docs(DOCS))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("encoder", ["bert", "mpnet"])
def test_padding_side_and_batch_size_change_no_score_of_token_vectors_and_words(encoders, encoder, kind):
    found = []
    for side in ("right", "left"):
        for sizes in ({}, {"batch_docs": 1}, {"batch_docs": 2}, {"batch_tokens": 7}):
            model = made(kind, encoders[encoder], **sizes).eval()
            model.tokenizer.padding_side = side
            with torch.no_grad():
                found.append(model(batch_of(model)))
    assert found[0].std() > 1e-3
    for other in found[1:]:
        torch.testing.assert_close(other, found[0], rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("chunk", [1, 2, 5])
def test_cached_gradients_are_the_true_ones_of_token_vectors_and_words(encoders, kind, chunk):
    found = {}
    for cached in (False, True):
        model = made(kind, encoders["bert"], dropout=0.3, checkpointing=cached, batch_docs=chunk).train()
        torch.manual_seed(5)
        scores = model(batch_of(model))
        nn.functional.cross_entropy(scores, torch.tensor([0, 1, 0])).backward()
        found[cached] = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    assert found[True].keys() == found[False].keys()
    for name, gradient in found[True].items():
        scale = float(found[False][name].abs().max().clamp(min=1))
        torch.testing.assert_close(gradient, found[False][name], rtol=1e-5, atol=1e-5 * scale)


@needs_packing  # padded, more numbers are seen than there are tokens
@pytest.mark.parametrize("kind", KINDS)
def test_shared_documents_are_read_once_by_token_vectors_and_words(encoders, kind):
    model = made(kind, encoders["bert"]).eval()
    batch, seen = batch_of(model), []
    model.network.base_model.embeddings.register_forward_pre_hook(
        lambda m, a, k: seen.append(k["input_ids"].numel()), with_kwargs=True
    )
    with torch.no_grad():
        model(batch)
    asked: TokenRows = model._filled(batch.queries) if isinstance(model, LateInteraction) else batch.queries
    assert sum(seen) == asked.ids.numel() + batch.docs.ids.numel()


@pytest.mark.parametrize("kind", [*KINDS, *(f"BiEncoder {pooling}" for pooling in ("mean", "first", "last"))])
@pytest.mark.parametrize("encoder", ["bert", "mpnet"])
def test_a_text_without_a_token_has_no_vector_and_takes_none_of_its_neighbours(encoders, encoder, kind):
    """As an empty one has that a tokenizer puts no marks around."""
    ids = torch.arange(30, 39)
    rows = TokenRows(ids, torch.zeros_like(ids), torch.tensor([0, 0, 4, 4, 9, 9]))
    pooling = kind.partition(" ")[2]
    model = BiEncoder(encoders[encoder], pooling) if pooling else made(kind, encoders[encoder])
    for own in (model.eval(), model.for_scoring(torch.device("cpu"), "32")):
        with torch.no_grad():
            found, alone = own.encode_docs(rows), own.encode_docs(rows.without_empty())
        assert not found[[0, 2, 4]].any()
        torch.testing.assert_close(found[[1, 3]], alone, rtol=1e-5, atol=1e-5)
        assert alone.any()
    model.train().encode_docs(rows).sum().backward()
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)
