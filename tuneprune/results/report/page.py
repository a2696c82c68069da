"""The whole page around its sections, and the file that it becomes."""

import base64
import hashlib
from collections.abc import Sequence
from importlib import resources

from tuneprune.results.report.markup import Html, joined, tag
from tuneprune.results.report.sections import Section, contents


def page(title: str, lead: str, made: Sequence[Section]) -> Html:
    """Return a page that needs nothing but itself.

    Args:
        title: what it is about.
        lead: a line below that.
        made: its sections.
    """
    style, script = (_part(name) for name in ("page.css", "page.js"))
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        _policy(script),
        tag("title", title),
        tag("style", style),
    )
    body = tag(
        "body",
        tag("a", "To the content", href="#main", class_="skip"),
        tag("header", tag("h1", title), tag("p", lead)),
        contents(made),
        tag("main", *(_section(one) for one in made), id="main"),
        tag("footer", tag("p", "Made by tuneprune report. Intervals are of 95 %.")),
        tag("script", script),
    )
    return joined([Html("<!doctype html>\n"), tag("html", head, body, lang="en"), "\n"])


def _section(one: Section) -> Html:
    heading = tag("h2", one.heading, id=f"{one.id_}-heading")
    return tag("section", heading, one.content, id=one.id_, aria_labelledby=f"{one.id_}-heading")


def _policy(script: str) -> Html:
    """Return what forbids everything from outside, and every script but this one."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    rules = (
        "default-src 'none'", "style-src 'unsafe-inline'", f"script-src 'sha256-{digest}'",
        "img-src data:",
    )  # fmt: skip
    return tag("meta", http_equiv="Content-Security-Policy", content="; ".join(rules))


def _part(name: str) -> Html:
    return Html(resources.files(__package__).joinpath(name).read_text(encoding="utf-8"))
