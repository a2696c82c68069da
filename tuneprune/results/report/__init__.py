"""One page of a sweep for people: ``tuneprune report``."""

from tuneprune.results.report.write import report_html, write_report

__all__ = ["report_html", "write_report"]
