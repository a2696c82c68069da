"""Whether the training loss comes back to what it was before an adaptation event, and when.

Pure bookkeeping over the losses of single steps: it neither trains nor writes.
"""

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True, slots=True)
class Recovery:
    """What became of the loss after one event: the columns of a row of ``recoveries``.

    Attributes:
        event: number of the event in the run, from 0.
        event_step: finished optimizer steps when it was applied.
        loss_before: mean loss of the last ``window_steps`` steps before, or of as many as there
            were; nats an encoder frame.
        spike_loss: highest loss of a step from the event until this was settled; None if no step
            came between.
        spike_step: finished steps with that step; of equal losses, the first.
        recovered: True: the mean of ``window_steps`` losses after the event came down to
            ``loss_before``. False: the next event, or the end of the run, came first.
        recovery_steps: steps from the event until then; None if it did not recover.
        window_steps: how many steps a mean is taken over.
        step_time_before_s: mean wall time of the steps of ``loss_before``; None where the run was
            resumed between, for a checkpoint keeps no times.
        step_time_after_s: mean wall time of the last ``window_steps`` steps after the event, or of
            as many as there were since the event and since the run was resumed; None if none.
    """

    event: int
    event_step: int
    loss_before: float
    spike_loss: float | None
    spike_step: int | None
    recovered: bool
    recovery_steps: int | None
    window_steps: int
    step_time_before_s: float | None
    step_time_after_s: float | None


@dataclass(kw_only=True, slots=True)
class _Watched:
    """An event whose loss has not come back yet, and the ``steps`` since."""

    event: int
    event_step: int
    loss_before: float
    steps: int = 0
    spike_loss: float | None = None
    spike_step: int | None = None


class RecoveryWatch:
    """Follows the loss of a run and settles, for each event, whether and when it came back.

    Args:
        window: steps that a mean loss is taken over, before an event and after it.
    """

    def __init__(self, window: int) -> None:
        self._window = window
        self._losses: deque[float] = deque(maxlen=window)
        self._times_s: deque[float] = deque(maxlen=window)
        self._time_before_s: float | None = None
        self._watched: _Watched | None = None

    def stepped(self, step: int, loss: float, step_time_s: float) -> Recovery | None:
        """Take in one step; return the recovery if the loss is back with it.

        Args:
            step: finished steps, with this one.
            loss: of this step, finite; nats an encoder frame.
            step_time_s: its wall time.
        """
        self._losses.append(loss)
        self._times_s.append(step_time_s)
        watched = self._watched
        if watched is None:
            return None
        watched.steps += 1
        if watched.spike_loss is None or loss > watched.spike_loss:
            watched.spike_loss, watched.spike_step = loss, step
        # Until then, the window still holds steps from before the event.
        if watched.steps < self._window or _mean(self._losses) > watched.loss_before:
            return None
        return self._settled(watched, recovered=True)

    def begin(self, event: int, step: int) -> Recovery | None:
        """Watch from now on for the loss to come back to what it is now.

        Args:
            event: number of the event.
            step: finished steps when it was applied, at least one of them taken in.

        Returns:
            That the event before did not recover, if it is still watched.
        """
        before = self.end(step)
        assert self._losses, "an event comes after a step"
        self._time_before_s = _mean(self._times_s) if self._times_s else None
        self._times_s.clear()
        self._watched = _Watched(event=event, event_step=step, loss_before=_mean(self._losses))
        return before

    def end(self, step: int) -> Recovery | None:
        """Stop watching at ``step``: return that an event still watched did not recover."""
        watched = self._watched
        if watched is None:
            return None
        assert step == watched.event_step + watched.steps, "every step is taken in"
        return self._settled(watched, recovered=False)

    @property
    def is_open(self) -> bool:
        """Return whether an event is watched whose loss is not back yet."""
        return self._watched is not None

    def state_dict(self) -> dict[str, Any]:
        """Return all that decides what is settled, as JSON holds it exactly; no times."""
        watched = None if self._watched is None else asdict(self._watched)
        return {"losses": list(self._losses), "watched": watched}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a ``state_dict`` of a watch with the same window."""
        self._losses = deque(state["losses"], maxlen=self._window)
        self._times_s.clear()
        self._time_before_s = None
        self._watched = None if state["watched"] is None else _Watched(**state["watched"])

    def _settled(self, watched: _Watched, *, recovered: bool) -> Recovery:
        self._watched = None
        return Recovery(
            event=watched.event,
            event_step=watched.event_step,
            loss_before=watched.loss_before,
            spike_loss=watched.spike_loss,
            spike_step=watched.spike_step,
            recovered=recovered,
            recovery_steps=watched.steps if recovered else None,
            window_steps=self._window,
            step_time_before_s=self._time_before_s,
            step_time_after_s=_mean(self._times_s) if self._times_s else None,
        )


def recovery_window(total_steps: int) -> int:
    """Return how many steps of a run a mean loss is taken over: 1 %, but 5 at least, 100 at most.

    A single step's loss says more about its batch than about the model.
    """
    return min(100, max(5, round(0.01 * total_steps)))


def _mean(values: deque[float]) -> float:
    return math.fsum(values) / len(values)
