"""The door to TensorBoard: a folder of event files, a trial each, written by its own writer.

TensorBoard keeps numbers as 32-bit floats. Neither torch nor TensorFlow is needed.
"""

import shlex
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from tuneprune.results.neighbours.runs import Run


def show_tensorboard(out: Path) -> str:
    """Return the command that shows what was written."""
    return f"tensorboard --logdir {shlex.quote(str(out))}"


def write_tensorboard(runs: Iterable[Run], folder: Path) -> None:
    """Write ``<experiment>/<trial>/events.out.tfevents.*`` below a folder.

    Settings and tags are in the HParams tab, a note in the Text tab. A trial's own numbers are
    named ``trial/...``, at its last step. All of a trial has the time at which it ended.
    """
    from tensorboard.summary.writer.record_writer import RecordWriter

    for run in runs:
        place = folder / run.experiment / run.name
        place.mkdir(parents=True)
        path = place / f"events.out.tfevents.{int(run.ended_s):010d}.{run.name}"
        with path.open("wb") as file:
            writer = RecordWriter(file)
            for event in _events(run):
                writer.write(event.SerializeToString())
            writer.flush()


def _events(run: Run) -> Iterator[Any]:
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.plugins.hparams.summary_v2 import hparams_pb
    from tensorboard.plugins.text.summary_v2 import text_pb

    yield Event(wall_time=run.started_s, file_version="brain.Event:2")
    settings = {**run.params, **run.tags}
    described = hparams_pb(settings, trial_id=run.name, start_time_secs=run.started_s)
    yield Event(wall_time=run.started_s, step=0, summary=described)
    if run.note:
        yield Event(wall_time=run.ended_s, step=run.step, summary=text_pb("note", run.note))
    whole = {f"trial/{name}": value for name, value in run.summary.items()}
    for step, values in (*run.metrics, (run.step, whole)):
        scalars = [Summary.Value(tag=tag, simple_value=one) for tag, one in values.items()]
        yield Event(wall_time=run.ended_s, step=step, summary=Summary(value=scalars))
