"""Names in settings that a class of somebody else may take the place of."""

from pydantic import AfterValidator

from tuneprune.plugins import is_plugin


def one_of(*names: str) -> AfterValidator:
    """Return what refuses any other name that is not a plug-in's; it imports none."""
    *first, last = map(repr, names)
    known = f"{', '.join(first)} or {last}"

    def check(name: str) -> str:
        if name not in names and not is_plugin(name):
            raise ValueError(f"must be {known}, or a class as module:Class")
        return name

    return AfterValidator(check)
