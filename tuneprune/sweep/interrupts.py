"""SIGTERM, which batch systems send before they kill, on the way that Ctrl-C goes."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def sigterm_as_ctrl_c() -> Iterator[None]:
    """Treat SIGTERM as SIGINT inside the ``with`` block, and keep the handlers of both around it.

    Ray Tune leaves a handler of SIGINT behind, which would swallow a later Ctrl-C. Only the main
    thread may have handlers; in others, nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGTERM, _as_ctrl_c)
    try:
        yield
    finally:
        for number, handler in before.items():
            # None is a handler that was not set from Python and can not be set again from it.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


def _as_ctrl_c(number: int, frame: FrameType | None) -> None:
    handler = signal.getsignal(signal.SIGINT)
    if not callable(handler):  # ignored, as in the background of a shell script
        raise KeyboardInterrupt
    handler(signal.SIGINT, frame)
