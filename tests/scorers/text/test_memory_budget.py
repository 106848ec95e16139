"""Finding how many tokens to compute at once, on machines that are made up."""

import copy
import logging

import pytest
import torch

from ltr.scorers.text import memory_budget as budget
from ltr.scorers.text.cross_encoder import CrossEncoder
from ltr.scorers.text.memory_budget import SHARE, SIZES, Machine, fastest, largest, probe, token_bytes
from tests.packing import needs_packing
from tests.scorers.text.test_cross_encoder import random_batch

CPU = torch.device("cpu")


class Made:
    """A machine whose speed is given by size, whose memory is bounded, and that notes what it computes."""

    def __init__(self, rate, free=10**12, per_token=1, fixed=0):
        self.rate, self.bytes, self.per_token, self.fixed = rate, free, per_token, fixed
        self.now, self.sizes = 0.0, []

    def run(self, tokens):
        self.sizes.append(tokens)
        if tokens * self.per_token + self.fixed > self.bytes:
            raise torch.OutOfMemoryError("made up")
        self.now += tokens / self.rate(tokens)

    def peak(self, run):
        run()
        return self.sizes[-1] * self.per_token + self.fixed

    def machine(self, gpu=False):
        return Machine(lambda: self.bytes, lambda: self.now, self.peak if gpu else None)


@pytest.mark.parametrize(
    ("rate", "best"),
    [
        (lambda n: 100.0, 512),  # nothing gained: the least memory
        (lambda n: min(n, 2048), 2048),
        (lambda n: 100 + n, 16384),
        (lambda n: 1000 - n / 100, 512),
        (lambda n: 100 * 1.02 ** (n / 512), 512),  # too little gained
    ],
)
def test_the_smallest_size_that_is_as_fast_as_any(rate, best):
    made = Made(rate)
    assert fastest(made.run, 1, made.machine()) == best
    assert max(made.sizes) <= 2 * best


@pytest.mark.parametrize("free", [1, 10_000, 100_000, 1_000_000, 10**9])
@pytest.mark.parametrize("gpu", [False, True])
def test_memory_is_never_exceeded(free, gpu):
    made = Made(lambda n: 100 + n, free=free, per_token=40, fixed=1000 if gpu else 0)
    found = probe(made.run, 40, CPU, made.machine(gpu))
    assert found >= SIZES[0]
    assert found == SIZES[0] or found * 40 <= SHARE * free
    if not gpu:
        assert all(size * 40 <= SHARE * free for size in made.sizes), "not even tried"


def test_a_gpu_is_filled_in_proportion():
    made = Made(lambda n: 1.0, free=1_000_000_000, per_token=10_000, fixed=77_777)
    assert largest(made.run, made.machine(gpu=True)) == 25_000 // 256 * 256
    assert max(made.sizes) == 1024
    made.bytes = 10**15
    assert largest(made.run, made.machine(gpu=True)) == budget.MOST


def test_other_errors_of_the_trial_come_through():
    def broken(tokens):
        raise RuntimeError("shapes")

    with pytest.raises(RuntimeError, match="shapes"):
        probe(broken, 1, CPU, Made(lambda n: 1.0).machine())


def test_this_machine_has_memory():
    assert 2**20 < Machine.of(CPU).free() < 2**50


def group(folder, names, limit, used, idle):
    folder.mkdir(parents=True, exist_ok=True)
    for name, value in zip(names, (limit, used), strict=False):
        (folder / name).write_text(f"{value}\n")
    (folder / "memory.stat").write_text(f"anon 5\n{names[2]} {idle}\nslab 7\n")


@pytest.mark.parametrize(
    ("names", "root", "line"),
    [
        (budget.VERSION_2, "", "0::/pod/box\n"),
        (budget.VERSION_1, "memory", "3:cpu,cpuacct:/x\n4:memory:/pod/box\n0::/\n"),
    ],
)
def test_a_container_has_less_memory_than_its_machine(tmp_path, names, root, line):
    proc, cgroups = tmp_path / "proc", tmp_path / "cgroup"
    (proc / "self").mkdir(parents=True)
    (proc / "meminfo").write_text("MemTotal: 90 kB\nMemAvailable: 50 kB\n")
    assert budget._available(proc, cgroups) == 50 * 1024, "no control groups at all"
    (proc / "self" / "cgroup").write_text(line)
    assert budget._available(proc, cgroups) == 50 * 1024, "those are elsewhere"
    group(cgroups / root, names, "max" if not root else 2**63 - 4096, 10_000, 1)
    group(cgroups / root / "pod" / "box", names, 30_000, 20_000, 4_000)
    assert budget._available(proc, cgroups) == 14_000
    group(cgroups / root / "pod", names, 40_000, 39_000, 500)
    assert budget._available(proc, cgroups) == 1_500, "the group around it has less"
    group(cgroups / root / "pod", names, 10**9, 39_000, 500)
    group(cgroups / root / "pod" / "box", names, "max" if not root else 2**63 - 4096, 20_000, 4_000)
    assert budget._available(proc, cgroups) == 50 * 1024


def test_trying_draws_no_random_numbers():
    torch.manual_seed(3)
    before = torch.get_rng_state()
    probe(lambda tokens: torch.rand(3), 1, CPU, Made(lambda n: 1.0).machine())
    assert torch.equal(torch.get_rng_state(), before)


@needs_packing  # padding takes memory, too, and is counted elsewhere
def test_what_a_token_takes_is_more_than_its_saved_activations(tiny_model):
    scorer = CrossEncoder(str(tiny_model), dropout=0.1).train()
    batch = random_batch([20])
    kept: dict[int, int] = {}
    weights = {p.data_ptr() for p in scorer.parameters()}

    def note(tensor):
        if tensor.data_ptr() not in weights:
            kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        scores = scorer(batch)
    assert scores.requires_grad
    assert 0 < sum(kept.values()) <= batch.tokens.ids.numel() * token_bytes(scorer.model.config, training=True)


def test_auto_is_tried_once_for_each_use_and_changes_nothing_else(tiny_model, monkeypatch, caplog):
    tried = []

    def fake(run, size, device):
        tried.append((torch.is_grad_enabled(), size))
        with torch.random.fork_rng():
            run(512)
        return 100

    monkeypatch.setattr(budget, "probe", fake)
    monkeypatch.setattr(CrossEncoder, "deals", False)  # several threads draw a number for each of them
    torch.manual_seed(3)
    scorer = CrossEncoder(str(tiny_model), dropout=0.0, batch_tokens="auto")
    plain = copy.deepcopy(scorer)
    plain.batch_tokens = 100
    batch = random_batch([5, 9])
    state = torch.get_rng_state()
    caplog.clear()  # where a test before let ltr talk, making the scorer said something
    with caplog.at_level(logging.INFO):
        for _ in range(2):
            assert torch.equal(scorer(batch), plain(batch))
            with torch.no_grad():
                assert torch.equal(scorer(batch), plain(batch))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(p.grad is None for p in scorer.parameters())
    assert [grad for grad, _ in tried] == [True, False]
    assert tried[0][1] == 2 * tried[1][1], "two layers hold their activations for the gradient"
    assert [r.getMessage() for r in caplog.records] == [
        "100 tokens at once in training on cpu",
        "100 tokens at once in scoring on cpu",
    ]
    assert scorer.fewer_tokens() is None, "50 tokens at once would be too few"


def test_auto_on_this_machine(tiny_model):
    scorer = CrossEncoder(str(tiny_model), batch_tokens="auto").eval()
    batch = random_batch([5])
    with torch.inference_mode():
        torch.testing.assert_close(scorer(batch), CrossEncoder.forward(scorer, batch))
    assert scorer._probed[("cpu", False)] in SIZES
    assert scorer.batch_tokens == "auto"
    with torch.inference_mode():  # where gradients are on, it would ask for training
        assert scorer.fewer_tokens() == scorer._probed[("cpu", False)] // 2
    assert scorer.batch_tokens == "auto", "nothing changes by asking"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_auto_on_a_gpu(tiny_model):
    scorer = CrossEncoder(str(tiny_model), batch_tokens="auto").cuda()
    scorer(random_batch([5]).to("cuda")).sum().backward()
    assert SIZES[0] <= scorer._probed[("cuda:0", True)] <= budget.MOST
