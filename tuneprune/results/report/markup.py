"""HTML that is escaped by construction: text becomes markup only through ``tag``."""

import html
import re
from collections.abc import Iterable
from typing import TypeAlias

# Colours of a terminal, and what no page may hold; line ends and tabs stay.
_NO_TEXT = re.compile("\x1b\\[[0-9;?]*[ -/]*[@-~]|[\x00-\x08\x0b-\x1f\x7f-\x9f\ufffe\uffff]")
_EMPTY = frozenset(("meta", "input"))


class Html(str):
    """What is markup already."""

    __slots__ = ()


Child: TypeAlias = "str | Html | None"


def tag(element: str, /, *children: Child, **attributes: str | bool | None) -> Html:
    """Return an element; children that are text are escaped, those that are None left out.

    Args:
        element: its name.
        children: what is in it.
        attributes: by name, ``class_`` for ``class`` and ``data_sort`` for ``data-sort``; None and
            False leave one out, True has no value.
    """
    opening = f"<{element}{''.join(map(_attribute, attributes, attributes.values()))}>"
    return Html(opening if element in _EMPTY else f"{opening}{joined(children)}</{element}>")


def joined(children: Iterable[Child]) -> Html:
    """Return children one after the other, text escaped."""
    return Html("".join(escaped(child) for child in children if child is not None))


def escaped(text: str) -> Html:
    """Return text as markup that shows it, markup as it is."""
    return text if isinstance(text, Html) else Html(html.escape(plain(text)))


def plain(text: str) -> str:
    """Return text without characters that no page may hold, such as colours of a terminal."""
    return _NO_TEXT.sub("", text)


def _attribute(name: str, value: str | bool | None) -> str:
    if value is None or value is False:
        return ""
    written = name.rstrip("_").replace("_", "-")
    return f" {written}" if value is True else f' {written}="{html.escape(plain(value))}"'
