"""What a suite says of a plug-in that breaks its contract."""


class ConformanceError(AssertionError):
    """A plug-in does not do what its protocol asks for; the text says what it must do."""


def require(holds: object, what: str) -> None:
    """Raise unless something holds.

    Raises:
        ConformanceError: also under ``python -O``, which leaves plain assertions out.
    """
    if not holds:
        raise ConformanceError(what)
