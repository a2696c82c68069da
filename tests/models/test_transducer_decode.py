"""What a transducer's search finds, against scripts by hand and all alignments counted."""

import math
from collections import defaultdict

import pytest
import torch
from torch import Tensor

from tuneprune.config import TransducerConfig
from tuneprune.models.rnnt_loss import rnnt_loss
from tuneprune.models.transducer import TransducerOutput
from tuneprune.models.transducer_decode import beam_search, greedy_transducer


class Script:
    """Predictor and joiner that say by a table which label is best in a frame after how many."""

    def __init__(self, best: list[list[int]], num_labels: int = 5) -> None:
        self.best = torch.tensor(best)
        self.num_labels = num_labels

    def started(self, batch: int) -> tuple[Tensor, Tensor]:
        return torch.zeros(batch, 1), torch.zeros(1, 2, batch, 1)

    def __call__(self, labels_BL: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        return state[0, 0][:, None] + 1, state + 1

    def of_labels(self, outputs: Tensor) -> Tensor:
        return outputs

    def scores(self, frames: Tensor, labels: Tensor) -> Tensor:
        frame, count = torch.broadcast_tensors(frames[..., 0].long(), labels[..., 0].long())
        best = self.best[frame, count.clamp(max=self.best.shape[1] - 1)]
        return 9.0 * torch.nn.functional.one_hot(best, self.num_labels)


def frames_of(*rows: list[int]) -> Tensor:
    return torch.tensor(rows, dtype=torch.float32)[..., None]


# In frame 0, label 1 then 1 again; in frame 1 nothing after two; in frame 2, label 3 after two.
BEST = [[1, 1, 0, 0], [2, 2, 0, 4], [4, 4, 3, 0]]


def test_greedy_takes_labels_in_a_frame_until_a_blank_comes() -> None:
    script = Script(BEST)
    rows = frames_of([0, 1, 2], [2, 1, 0], [1, 1, 1])
    found = greedy_transducer(script, script, rows, torch.tensor([3, 1, 2]), 9)
    # 0: 1 1 blank | blank | 3 blank; frame 2 alone: 4 4 3 blank; frame 1 twice: 2 2 blank | blank
    assert found == [[1, 1, 3], [4, 4, 3], [2, 2]]


def test_greedy_goes_on_to_the_next_frame_after_the_most_labels() -> None:
    script = Script(BEST)
    found = greedy_transducer(script, script, frames_of([0, 1, 2]), torch.tensor([3]), 1)
    assert found == [[1, 2, 3]]


def test_without_frames_nothing_is_found() -> None:
    script = Script(BEST)
    none = torch.tensor([0, 0])
    assert greedy_transducer(script, script, frames_of([0], [0]), none, 9) == [[], []]
    (one,) = beam_search(script, script, frames_of([])[0], beam=3, max_labels_per_frame=2)
    assert one.labels == ()


def test_a_beam_of_a_clear_script_is_greedy() -> None:
    script = Script(BEST)
    best, *_ = beam_search(script, script, frames_of([0, 1, 2])[0], beam=3, max_labels_per_frame=5)
    assert best.labels == (1, 1, 3)


def output(joiner: str, *, labels: int = 3) -> TransducerOutput:
    config = TransducerConfig.model_validate({
        "embedding_dim": 4, "hidden_dim": 5, "num_layers": 2, "joiner": joiner, "joiner_dim": 6,
    })  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        made = TransducerOutput(config, d_model=4, num_labels=labels).double().eval()
        with torch.no_grad():
            for parameter in made.joiner.parameters():
                parameter.normal_()
    return made


def encoded(*shape: int) -> Tensor:
    return torch.randn(*shape, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def counted(made: TransducerOutput, x_UD: Tensor, most: int) -> dict[tuple[int, ...], float]:
    """Return the probability of each label sequence, from all alignments one after the other."""
    found: dict[tuple[int, ...], float] = defaultdict(float)

    def probabilities(frame: int, labels: tuple[int, ...]) -> list[float]:
        history = torch.tensor([labels], dtype=torch.int64)
        share = made.joiner.of_labels(made.predictor.after(history)[0, -1])
        scores = made.joiner.scores(made.joiner.of_frames(x_UD[frame]), share)
        return scores.softmax(-1).tolist()

    def go_on(frame: int, labels: tuple[int, ...], in_frame: int, probability: float) -> None:
        if frame == len(x_UD):
            found[labels] += probability
            return
        blank, *rest = probabilities(frame, labels)
        go_on(frame + 1, labels, 0, probability * blank)
        if in_frame < most:
            for label, one in enumerate(rest, start=1):
                go_on(frame, (*labels, label), in_frame + 1, probability * one)

    go_on(0, (), 0, 1.0)
    return found


@torch.no_grad()
@pytest.mark.parametrize("joiner", ["sum", "concat"])
def test_a_beam_that_keeps_everything_sums_all_alignments_of_each_sequence(joiner: str) -> None:
    made, x_UD = output(joiner), encoded(3)
    expected = counted(made, x_UD, most=2)
    shares = made.joiner.of_frames(x_UD)
    found = beam_search(made.predictor, made.joiner, shares, beam=1000, max_labels_per_frame=2)
    assert len(found) == len(expected) == 127  # up to six labels, of two kinds
    for one in found:
        assert one.log_prob == pytest.approx(math.log(expected[one.labels]), rel=1e-9)
    assert [one.log_prob for one in found] == sorted((f.log_prob for f in found), reverse=True)


@torch.no_grad()
def test_the_sum_of_all_alignments_is_what_the_loss_says() -> None:
    made, x_UD = output("sum"), encoded(2)
    shares = made.joiner.of_frames(x_UD)
    found = beam_search(made.predictor, made.joiner, shares, beam=1000, max_labels_per_frame=2)
    short = [one for one in found if 0 < len(one.labels) <= 2]  # else some alignments are left out
    assert len(short) == 6
    for one in short:
        labels = torch.tensor([one.labels])
        frames, counts = torch.tensor([2]), torch.tensor([len(one.labels)])
        after = made.joiner.of_labels(made.predictor.after(labels))
        logits = made.joiner.scores(shares[None, :, None], after[:, None])
        loss = rnnt_loss(logits, labels, frames, counts)
        assert one.log_prob == pytest.approx(-float(loss), rel=1e-9)


@pytest.mark.parametrize("beam", [1, 2, 5])
def test_where_one_alignment_has_it_all_a_beam_finds_what_greedy_finds(beam: int) -> None:
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        best = torch.randint(0, 5, (6, 9), generator=generator)
        best[:, -1] = 0  # after so many labels, nothing comes
        script = Script(best.tolist())
        frames = frames_of(list(range(6)))
        (greedy,) = greedy_transducer(script, script, frames, torch.tensor([6]), 9)
        found, *_ = beam_search(script, script, frames[0], beam=beam, max_labels_per_frame=9)
        assert list(found.labels) == greedy
        assert found.log_prob > -0.05


@torch.no_grad()
def test_utterances_are_searched_side_by_side_as_alone() -> None:
    made, x_BUD = output("sum", labels=5), encoded(4, 9)
    num_frames = torch.tensor([9, 4, 0, 6])
    together = made.decode(x_BUD, num_frames)
    alone = [
        made.decode(x_BUD[i : i + 1, :frames], num_frames[i : i + 1])[0]
        for i, frames in enumerate(num_frames.tolist())
    ]
    assert together == alone
    assert together[2] == []
    assert len({tuple(found) for found in together}) == 4


@torch.no_grad()
def test_no_beam_finds_more_than_the_one_that_keeps_everything() -> None:
    made = output("sum", labels=4)
    shares = made.joiner.of_frames(encoded(5))

    def best(beam: int) -> float:
        found = beam_search(made.predictor, made.joiner, shares, beam=beam, max_labels_per_frame=1)
        assert len(found) <= beam
        return found[0].log_prob

    whole = best(10_000)
    assert best(2) <= whole + 1e-12
    assert best(50) <= whole + 1e-12
