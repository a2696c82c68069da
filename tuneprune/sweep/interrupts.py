"""Ctrl-C, and SIGTERM, which batch systems send before they kill: both end work the same way."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from tuneprune.errors import Interrupted

Handler = Callable[[int, FrameType | None], object] | int | signal.Handlers | None


@contextmanager
def interruptible(line: str) -> Iterator[None]:
    """Make Ctrl-C and SIGTERM inside the ``with`` block an ``Interrupted`` that says ``line``.

    Ray leaves handlers of its own behind, which would swallow a later Ctrl-C or exit at once;
    those that stood before are put back. Only the main thread may have handlers, so elsewhere
    nothing is done about them.
    """
    before = _take_over() if threading.current_thread() is threading.main_thread() else {}
    try:
        yield
    except KeyboardInterrupt:
        raise Interrupted(line) from None
    finally:
        for number, handler in before.items():
            # None is a handler that was not set from Python and can not be set again from it.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


def _take_over() -> dict[signal.Signals, Handler]:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGTERM, _as_ctrl_c)
    return before


def _as_ctrl_c(number: int, frame: FrameType | None) -> None:
    """Do what Ctrl-C would do now; while Tune runs trials, that is to stop them and tidy up."""
    handler = signal.getsignal(signal.SIGINT)
    if not callable(handler):  # ignored, as in the background of a shell script
        raise KeyboardInterrupt
    handler(signal.SIGINT, frame)
