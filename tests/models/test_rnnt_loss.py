"""The transducer loss against every alignment, counted one by one, and against torchaudio's."""

import math
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from tuneprune.data.torchaudio_door import load_torchaudio
from tuneprune.models.rnnt_loss import rnnt_loss

Arc = tuple[int, int, int]  # frame, labels before it, label or blank
FRAMES, LABELS = torch.tensor([4, 2, 1, 3]), torch.tensor([3, 2, 1, 0])


def example(*, frames: int = 4, labels: int = 3, outputs: int = 5) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    shape = (len(FRAMES), frames, labels + 1, outputs)
    logits = 2 * torch.randn(shape, generator=generator, dtype=torch.float64)
    return logits, torch.randint(1, outputs, (len(FRAMES), labels), generator=generator)


def alignments(frames: int, labels: list[int]) -> Iterator[list[Arc]]:
    """Yield each alignment as its arcs."""

    def go_on(t: int, u: int, arcs: list[Arc]) -> Iterator[list[Arc]]:
        if t == frames:
            if u == len(labels):
                yield arcs
            return
        yield from go_on(t + 1, u, [*arcs, (t, u, 0)])
        if u < len(labels):
            yield from go_on(t, u + 1, [*arcs, (t, u, labels[u])])

    return go_on(0, 0, [])


def counted(logits_TUV: Tensor, labels: list[int], frames: int) -> float:
    scores = logits_TUV.tolist()

    def probability(t: int, u: int, v: int) -> float:
        return math.exp(scores[t][u][v]) / sum(math.exp(s) for s in scores[t][u])

    ways = [math.prod(probability(*arc) for arc in arcs) for arcs in alignments(frames, labels)]
    assert len(ways) == math.comb(frames - 1 + len(labels), len(labels))
    return -math.log(sum(ways))


def test_the_loss_is_that_of_all_alignments_counted() -> None:
    logits, labels = example()
    found = rnnt_loss(logits, labels, FRAMES, LABELS)
    expected = [
        counted(logits[i], labels[i, : LABELS[i]].tolist(), int(FRAMES[i]))
        for i in range(len(FRAMES))
    ]
    assert found.tolist() == pytest.approx(expected, rel=1e-12)


def test_one_frame_by_hand() -> None:
    probabilities = torch.tensor([[[[0.25, 0.5, 0.25], [0.2, 0.7, 0.1]]]])
    scores = probabilities.log() + 3.0  # they need not be normalised
    with_label = rnnt_loss(scores, torch.tensor([[1]]), torch.tensor([1]), torch.tensor([1]))
    torch.testing.assert_close(with_label, -torch.tensor([0.5 * 0.2]).log())
    without = rnnt_loss(scores, torch.tensor([[1]]), torch.tensor([1]), torch.tensor([0]))
    torch.testing.assert_close(without, -torch.tensor([0.25]).log())


def test_labels_that_are_sure_to_come_but_never_likely_to_come_now_make_a_small_loss() -> None:
    """So a transducer's loss alone does not tell the encoder where a label is."""
    now, frames = 0.2, 40
    before, after = torch.tensor([1 - now, now]), torch.tensor([1.0, 0.0])
    logits = torch.stack([before, after]).log().clamp(min=-100.0).expand(1, frames, 2, 2)
    found = rnnt_loss(logits, torch.tensor([[1]]), torch.tensor([frames]), torch.tensor([1]))
    torch.testing.assert_close(found, torch.tensor([-math.log1p(-((1 - now) ** frames))]))
    assert (logits[:, :, 0].argmax(-1) == 0).all()  # greedy search waits for ever


def test_its_gradient_is_that_of_finite_differences() -> None:
    logits, labels = example()

    def loss(x: Tensor) -> Tensor:
        return rnnt_loss(x, labels, FRAMES, LABELS)

    assert torch.autograd.gradcheck(loss, (logits.requires_grad_(),), eps=1e-6, atol=1e-8)


def test_the_gradient_asks_for_labels_by_so_much_more_and_the_loss_stays() -> None:
    """Each alignment's arcs, weighted by how probable it was."""
    logits, labels = example()
    logits.requires_grad_()
    found = rnnt_loss(logits, labels, FRAMES, LABELS, fast_emit=0.5)
    assert torch.equal(found, rnnt_loss(logits, labels, FRAMES, LABELS))
    total = torch.zeros((), dtype=torch.float64)
    for i, log_probs in enumerate(logits.log_softmax(-1)):
        ways = list(alignments(int(FRAMES[i]), labels[i, : LABELS[i]].tolist()))
        arcs = [torch.stack([log_probs[arc] for arc in arcs]) for arcs in ways]
        asked = [torch.tensor([1.5 if label else 1.0 for *_, label in arcs]) for arcs in ways]
        share = torch.stack([one.sum() for one in arcs]).softmax(0).detach()
        total = total - sum(p * (a * w).sum() for p, a, w in zip(share, arcs, asked, strict=True))
    expected, gradient = (torch.autograd.grad(x, logits)[0] for x in (total, found.sum()))
    torch.testing.assert_close(gradient, expected, rtol=0, atol=1e-12)


def test_what_lies_behind_an_utterance_plays_no_part_and_gets_no_gradient() -> None:
    logits, labels = example()
    changed = logits.clone()
    for i, (frames, count) in enumerate(zip(FRAMES.tolist(), LABELS.tolist(), strict=True)):
        changed[i, frames:] = 50.0
        changed[i, :, count + 1 :] = -50.0
    changed.requires_grad_()
    found = rnnt_loss(changed, labels, FRAMES, LABELS)
    torch.testing.assert_close(found, rnnt_loss(logits, labels, FRAMES, LABELS), rtol=0, atol=0)
    (gradient,) = torch.autograd.grad(found.sum(), changed)
    for i, (frames, count) in enumerate(zip(FRAMES.tolist(), LABELS.tolist(), strict=True)):
        assert gradient[i, :frames, : count + 1].abs().amax() > 0
        assert not gradient[i, frames:].any()
        assert not gradient[i, :, count + 1 :].any()


def test_loss_and_gradient_are_those_of_torchaudio() -> None:
    logits, labels = example(frames=9, labels=6, outputs=7)
    frames, counts = torch.tensor([9, 5, 1, 7]), torch.tensor([3, 6, 1, 0])
    weights = torch.tensor([1.0, 0.0, 2.0, 0.5])
    single = logits.float()
    ours, theirs = (single.clone().requires_grad_() for _ in range(2))
    found = rnnt_loss(ours, labels, frames, counts)
    expected = load_torchaudio().functional.rnnt_loss(
        theirs, labels.int(), frames.int(), counts.int(), blank=0, reduction="none"
    )
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    (found * weights).sum().backward()
    (expected * weights).sum().backward()
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-4, atol=1e-5)


def test_bfloat16_is_summed_in_float32() -> None:
    logits, labels = example()
    coarse = logits.bfloat16()
    found = rnnt_loss(coarse, labels, FRAMES, LABELS)
    assert found.dtype is torch.float32
    torch.testing.assert_close(found, rnnt_loss(coarse.float(), labels, FRAMES, LABELS))


def test_without_a_frame_there_is_no_way() -> None:
    logits, labels = example()
    found = rnnt_loss(logits, labels, torch.tensor([0, 2, 1, 3]), LABELS)
    assert found.isinf().tolist() == [True, False, False, False]


@pytest.mark.parametrize("integers", [torch.int32, torch.int64])
def test_any_integers_will_do(integers: torch.dtype) -> None:
    logits, labels = example()
    found = rnnt_loss(logits, labels.to(integers), FRAMES.to(integers), LABELS.to(integers))
    torch.testing.assert_close(found, rnnt_loss(logits, labels, FRAMES, LABELS), rtol=0, atol=0)
