"""What subnets keep, cost and get wrong: the pictures, and the numbers beside them."""

from typing import Any

from tuneprune.results.layout import Column
from tuneprune.results.networks import network_name
from tuneprune.results.report.markup import Html, joined, tag
from tuneprune.results.report.material import Material
from tuneprune.results.report.tables import of_columns
from tuneprune.results.report.wording import percent

_NAMES = ("network", "modules", "params", "of the whole model's", "dev WER", "test WER")


def subnet_section(material: Material, pictures: tuple[Html | str, ...]) -> Html | None:
    """Return the pictures and the numbers; None where no trial has subnets."""
    rows = material.results.subnets().to_pylist()
    if not rows:
        return None
    said = (
        "A supernet and its subnets are named by the trial and the modules that a subnet keeps; "
        "error rates are those of the best step on dev."
    )
    cells = zip(*(_cells(row) for row in rows), strict=True)
    columns = [
        Column(name=name, cells=list(some), is_number=name != _NAMES[0])
        for name, some in zip(_NAMES, cells, strict=True)
    ]
    drawn = [tag("div", one, class_="picture") for one in pictures if isinstance(one, Html)]
    return joined([tag("p", said), *drawn, of_columns("Each network of each supernet", columns)])


def _cells(row: dict[str, Any]) -> list[str]:
    return [
        network_name(row["trial_id"], row["subnet"]),
        f"{row['modules']:,}",
        "-" if row["params"] is None else f"{row['params']:,}",
        *("-" if row[name] is None else percent(row[name]) for name in _RATES),
    ]


_RATES = ("share", "dev_wer", "test_wer")
