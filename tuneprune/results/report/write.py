"""A report is written: one file that is there whole, or not at all."""

from pathlib import Path

from tuneprune.errors import ResultsError
from tuneprune.results.plots.importance import Importance
from tuneprune.results.plots.kinds import FindImportance
from tuneprune.results.reader import Results
from tuneprune.results.report.material import read_material
from tuneprune.results.report.page import page
from tuneprune.results.report.pictures import pictures
from tuneprune.results.report.sections import sections


def write_report(
    results: Results, out: Path, *, find_importance: FindImportance | None = None
) -> None:
    """Write what a sweep has found into one HTML file that needs no network.

    The same tables give the same bytes, with the same version of matplotlib.

    Args:
        results: one sweep.
        out: the file, ending in ``.html``.
        find_importance: computes the importance of settings; without it, that picture is left out,
            and said to be.

    Raises:
        ResultsError: several sweeps or none, a ``sweep.json`` that can not be read, another ending,
            or ``out`` can not be written.
    """
    if out.suffix.lower() != ".html" or out.is_dir():
        raise ResultsError("out", out, "must be a file that ends in .html")
    text = report_html(results, find_importance=find_importance)
    hidden = out.with_name(f".{out.name}.tmp")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        try:
            hidden.write_text(text, encoding="utf-8", newline="\n")
            hidden.replace(out)
        finally:
            hidden.unlink(missing_ok=True)
    except OSError as error:
        raise ResultsError("out", out, f"can not be written ({error.strerror})") from None


def report_html(results: Results, *, find_importance: FindImportance | None = None) -> str:
    """Return the page that ``write_report`` writes; see there."""
    material = read_material(results)
    drawn = dict(pictures(results, find_importance or _not_given))
    title = material.sweep.question or f"Sweep {material.sweep_id}"
    return page(title, f"Report of the sweep {material.sweep_id}", sections(material, drawn))


def _not_given(results: Results, metric: str) -> Importance:
    raise ResultsError("find_importance", None, "was not given; `tuneprune report` computes it")
