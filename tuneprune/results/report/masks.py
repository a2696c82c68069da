"""What the masks of the best trial that has some keep: in numbers, beside the picture."""

from typing import Any

from tuneprune.results.layout import Column
from tuneprune.results.plots.measures import best_adapted
from tuneprune.results.report.markup import Html, joined, tag
from tuneprune.results.report.material import Material
from tuneprune.results.report.tables import of_columns
from tuneprune.results.report.wording import counted, percent

_BY_LANGUAGE = ("language", "matrices", "blocks", "blocks kept", "density")
_BY_PAIR = ("languages", "both keep", "of those that either does", "of the first", "of the other")


def mask_section(material: Material, picture: Html | str) -> Html | None:
    """Return the picture and its numbers; None where there is no picture, so no masks."""
    if not isinstance(picture, Html):
        return None
    trial = best_adapted(material.results, masks=True)
    masks = material.results.masks(trial).to_pylist()
    pairs = material.results.masks(trial, by="pair").to_pylist()
    events = {row["event"] for row in material.results.masks(trial, by="event").to_pylist()}
    said = f"Of {trial}, the best trial with masks, after {counted(len(events), 'event')}."
    cells = [
        [
            row["language"] or "all",
            f"{row['matrices']:,}",
            f"{row['blocks']:,}",
            f"{row['kept_blocks']:,}",
            percent(row["density"]),
        ]
        for row in masks
    ]
    parts = [
        tag("p", said),
        tag("div", picture, class_="picture"),
        _table("What each mask keeps", _BY_LANGUAGE, cells),
    ]
    if pairs:
        parts.append(_table("What two languages keep", _BY_PAIR, [_pair(row) for row in pairs]))
    return joined(parts)


def _pair(row: dict[str, Any]) -> list[str]:
    return [
        f"{row['language']}, {row['other_language']}",
        f"{row['both']:,}",
        *(percent(row[name]) for name in ("jaccard", "share", "other_share")),
    ]


def _table(label: str, names: tuple[str, ...], rows: list[list[str]]) -> Html:
    columns = zip(names, zip(*rows, strict=True), strict=True)
    made = [Column(name=name, cells=cells, is_number=name != names[0]) for name, cells in columns]
    return of_columns(label, made)
