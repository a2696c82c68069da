"""Ctrl-C and SIGTERM end work the same way, and leave the process as it was."""

import signal
import threading

import pytest

from tuneprune.errors import Interrupted, TunepruneError
from tuneprune.sweep.interrupts import interruptible


@pytest.fixture(autouse=True)
def handlers():
    """Check that the handlers after a test are those before it."""
    before = [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)]
    yield
    assert [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)] == before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_becomes_a_line_that_says_what_to_do(number):
    with pytest.raises(Interrupted) as caught, interruptible("go on with --resume"):
        signal.raise_signal(number)
    assert str(caught.value) == "go on with --resume"
    assert caught.value.exit_code == 130
    assert not isinstance(caught.value, TunepruneError)


def test_sigterm_does_what_ctrl_c_would_do_at_that_moment():
    seen = []
    with interruptible("unsaid"):
        signal.signal(signal.SIGINT, lambda number, frame: seen.append(number))  # as Tune does
        signal.raise_signal(signal.SIGTERM)
    assert seen == [signal.SIGINT]


def test_sigterm_works_where_ctrl_c_is_ignored():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with pytest.raises(Interrupted), interruptible("stopped"):
            signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGINT, before)


def test_the_innermost_line_is_the_one_that_is_said():
    with pytest.raises(Interrupted, match="inner"), interruptible("outer"), interruptible("inner"):
        signal.raise_signal(signal.SIGTERM)


def test_in_another_thread_no_handler_is_touched():
    seen = []

    def work():
        with interruptible("unsaid"):
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [signal.getsignal(signal.SIGTERM)]
