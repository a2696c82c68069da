"""The pictures of a sweep inside the page: as SVG, in words for those who do not see them."""

import io
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from tuneprune.results.plots.kinds import KINDS, Drawing, FindImportance, draw_all
from tuneprune.results.reader import Results
from tuneprune.results.report.markup import Html, joined, tag
from tuneprune.results.report.tables import box

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MOST_BYTES = 250_000  # of lines as vectors; more are drawn as points of an image
_IMAGE_DPI = 144

HEADINGS = {
    "curves": "Learning curves",
    "allocation": "What the model is made of, before and after",
    "evolution": "How that came, event by event",
    "scores": "Scores of groups, and what was grown and dropped",
    "masks": "Masks, what languages share, and what events changed",
    "subnets": "Modules that subnets keep",
    "sizes": "Error rate against size, supernets with their subnets",
    "resets": "Errors after each layer was reset",
    "reset_steps": "What resets cost over training",
    "churn": "How far training has moved each layer",
    "rounds": "Rounds of federated training",
    "surface": "Two settings together",
    "scorers": "Settings with their intervals",
    "pareto": "Error rate against size",
    "history": "The course of the search",
    "importance": "Which settings mattered",
    "stages": "What trials shared",
}
_CAPTIONS = {
    "curves": "Word error rate on dev, and the training loss where steps were recorded, over "
    "optimizer steps. Black is the baseline, orange the trial that was best on dev.",
    "allocation": "Groups of every layer and kind of module in the best trial that adapted.",
    "evolution": "Groups of every module of the same trial after each of its events.",
    "scores": "Each cell is a group of the same trial at its last event.",
    "masks": "A cell of languages is what two of them share, a cell of layers what is kept there.",
    "subnets": "A cell is a module of a trial, or of the seeds of a setting; dark is what the "
    "smallest subnet keeps.",
    "sizes": "A line joins a whole model and its subnets; bars are 95 % intervals by bootstrap.",
    "resets": "A curve is the mean over the seeds of a setting, its band their range; the dotted "
    "line is the model as it was trained.",
    "reset_steps": "A cell is a layer at a checkpoint: what its reset adds to the word error rate.",
    "churn": "A line is a kind of module: the mean over the seeds of a setting, in a band of their "
    "range.",
    "rounds": "A curve is the mean over the seeds of a setting, its band their range.",
    "surface": "Trials where two searched settings put them; colour is the error rate.",
    "scorers": "Seeds of a setting are pooled. An interval of the difference that holds 0 shows no "
    "difference.",
    "pareto": "Each mark is a trial; towards the lower left is fewer errors and a smaller model.",
    "history": "Each mark is a trial in the order in which they were proposed.",
    "importance": "How far the values of each setting among the best trials are from those among "
    "all, as shares.",
    "stages": "Each line is a trial over its steps; dotted is what another had trained.",
}
assert HEADINGS.keys() == _CAPTIONS.keys() == KINDS.keys()


def pictures(results: Results, find_importance: FindImportance) -> Iterator[tuple[str, Html | str]]:
    """Yield every kind with its picture, or with the line that says why there is none."""
    for kind, drawn in draw_all(results, find_importance=find_importance):
        yield kind, drawn if isinstance(drawn, str) else _shown(kind, drawn)


def _shown(kind: str, drawing: Drawing) -> Html:
    caption = tag("figcaption", _CAPTIONS[kind])
    picture = inline_svg(drawing.figure, prefix=f"{kind}-", label=described(drawing.figure))
    return tag("figure", box(picture, f"Picture: {HEADINGS[kind]}"), caption)


def described(figure: "Figure") -> str:
    """Return what a picture shows, from its title, its axes and its legend."""
    said = [" ".join(figure.get_suptitle().split())]
    for axes in figure.axes:
        labels = [axes.get_title(), axes.get_xlabel(), axes.get_ylabel()]
        named = [" ".join(one.split()) for one in labels if one.strip()]
        if named:
            said.append(f"Panel: {', '.join(named)}")
    entries = [text.get_text() for legend in figure.legends for text in legend.get_texts()]
    if entries:
        said.append(f"Legend: {'; '.join(entries)}")
    return ". ".join(dict.fromkeys(said))


def inline_svg(figure: "Figure", *, prefix: str, label: str) -> Html:
    """Return a picture as an element of a page.

    Args:
        figure: what to draw.
        prefix: of all its ids, which would else be those of other pictures of the page too.
        label: what it shows.
    """
    drawn = _svg(figure)
    if len(drawn) > _MOST_BYTES:
        _as_images(figure)
        drawn = _svg(figure)
    body = drawn[drawn.index(">", drawn.index("<svg")) + 1 : drawn.rindex("</svg>")]
    body = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->", "", body, flags=re.S)
    body = _with_own_ids(body, prefix)
    body = re.sub(r'(?<=\sd=")[^"]*', _shorter, body)
    width, height = (72 * inches for inches in figure.get_size_inches())
    opening = tag(
        "svg", role="img", aria_label=label, viewBox=f"0 0 {width:.2f} {height:.2f}"
    ).removesuffix("</svg>")
    return joined([Html(opening), Html(re.sub(r"\n\s*", "\n", body).strip()), Html("</svg>")])


def _with_own_ids(body: str, prefix: str) -> str:
    """Return a picture whose ids begin with a prefix; those that nothing refers to are left out."""
    needed = set(re.findall(r'(?:href="#|url\(#)([^")]+)', body))

    def own(found: re.Match[str]) -> str:
        return f' id="{prefix}{found[1]}"' if found[1] in needed else ""

    return re.sub(r'(href="#|url\(#)', rf"\g<1>{prefix}", re.sub(r'\sid="([^"]*)"', own, body))


def _svg(figure: "Figure") -> str:
    from matplotlib import rc_context

    file = io.StringIO()
    with rc_context({"svg.hashsalt": "tuneprune"}):
        figure.savefig(file, format="svg", dpi=_IMAGE_DPI, metadata={"Date": None})
    return file.getvalue()


def _as_images(figure: "Figure") -> None:
    """Have all lines and areas drawn as points of images; words stay words."""
    for axes in figure.axes:
        for artist in (*axes.lines, *axes.collections, *axes.patches):
            artist.set_rasterized(True)


def _shorter(path: re.Match[str]) -> str:
    """Return a path in hundredths of a point, on one line."""
    numbers = re.sub(r"(\.\d\d)\d+", r"\1", path[0])
    return " ".join(numbers.split())
