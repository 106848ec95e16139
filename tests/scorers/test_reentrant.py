"""One scorer, several threads at once: scores are those of one thread, and nothing in the scorer changes meanwhile."""

import threading

import pytest
import torch

from ltr.scorers.text import cross_encoder, loading
from ltr.scorers.text import memory_budget as budget
from ltr.scorers.text.cross_encoder import CrossEncoder
from tests.scorers.text.test_cross_encoder import random_batch
from tests.tiny_model import save_tiny

#: packed with and without a pooler, padded with a head apart, as one whole
KINDS = ("bert", "electra", "distilbert", "roberta", "modernbert", "mpnet", "deberta-v2", "albert")
THREADS = 4


def at_once(work, threads=THREADS):
    """What ``work(number)`` gives or raises in each of some threads that start together."""
    found = [None] * threads
    together = threading.Barrier(threads)

    def run(number):
        together.wait()
        try:
            found[number] = work(number)
        except Exception as error:
            found[number] = error

    started = [threading.Thread(target=run, args=(number,)) for number in range(threads)]
    for thread in started:
        thread.start()
    for thread in started:
        thread.join()
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_threads_score_at_once(kind, tmp_path):
    scorer = CrossEncoder(str(save_tiny(tmp_path, kind)), batch_tokens=100).eval()
    batches = [random_batch([3, 2], seed=seed) for seed in range(THREADS)]
    with torch.inference_mode():
        wanted = [scorer(batch) for batch in batches]

    def work(number):
        with torch.inference_mode():
            return [scorer(batches[number]) for _ in range(5)]

    for scores, own in zip(at_once(work), wanted, strict=True):
        assert all(torch.equal(one, own) for one in scores), scores


def test_one_thread_scores_while_another_trains_nothing(tiny_model):
    """Gradients in one thread, none in another: modes are torch's own for each thread."""
    scorer = CrossEncoder(str(tiny_model)).eval()
    batch = random_batch([3])
    wanted = scorer(batch).detach()

    def work(number):
        with torch.set_grad_enabled(number % 2 == 0):
            return scorer(batch)

    for number, scores in enumerate(at_once(work)):
        assert scores.requires_grad == (number % 2 == 0)
        torch.testing.assert_close(scores.detach(), wanted)


def test_a_number_of_tokens_is_looked_for_once(tiny_model, monkeypatch):
    scorer = CrossEncoder(str(tiny_model), batch_tokens="auto").eval()
    tried, running = [], []

    def probe(run, size, device):
        running.append(1)
        assert len(running) == 1, "two trials at once measure each other"
        threading.Event().wait(0.02)
        running.pop()
        tried.append(size)
        return 512

    monkeypatch.setattr(cross_encoder.budget, "probe", probe)

    def work(number):
        with torch.inference_mode():
            return scorer.budget(torch.device("cpu"))

    assert at_once(work) == [512] * THREADS
    assert len(tried) == 1


def test_looking_for_a_number_of_tokens_leaves_torchs_generator_to_others(tiny_model):
    scorer = CrossEncoder(str(tiny_model), batch_tokens="auto").eval()
    drawn = []

    def run(tokens):
        before = torch.random.get_rng_state()
        scorer._try(128, torch.device("cpu"))
        assert torch.equal(torch.random.get_rng_state(), before), "nothing was drawn from it"
        drawn.append(float(torch.rand(1)))  # as by another thread

    with torch.inference_mode():
        budget.probe(
            run, 10**9, torch.device("cpu"), budget.Machine(lambda: 512 * 10**10, clock=iter(range(99)).__next__)
        )
    assert float(torch.rand(1)) not in drawn, "who drew meanwhile has other numbers than who draws later"


def test_transformers_speaks_as_before_once_all_threads_have_opened_their_models():
    from transformers.utils import logging as noise

    before = noise.get_verbosity(), noise.is_progress_bar_enabled()
    first, second = loading.quiet(), loading.quiet()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert noise.get_verbosity() == noise.ERROR
    second.__exit__(None, None, None)
    assert (noise.get_verbosity(), noise.is_progress_bar_enabled()) == before
