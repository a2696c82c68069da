"""Results of sweeps as Arrow tables: written by trials, read by people and programs."""

from tuneprune.results.bootstrap import Comparison, paired_bootstrap, wer_interval
from tuneprune.results.compaction import compact
from tuneprune.results.compare import compare_trials
from tuneprune.results.export import EXPORTED, export_sweep
from tuneprune.results.languages import language_rates
from tuneprune.results.layer_ranking import layer_ranking
from tuneprune.results.listing import list_sweeps
from tuneprune.results.neighbours import export_runs
from tuneprune.results.plots import (
    Importance,
    draw_all,
    draw_plot,
    plot_allocation,
    plot_learning_curves,
    save_drawing,
)
from tuneprune.results.pooled import pool_seeds
from tuneprune.results.reader import Results, open_results
from tuneprune.results.report import write_report
from tuneprune.results.schema import SCHEMA_VERSION, TABLES
from tuneprune.results.significance import sweep_significance
from tuneprune.results.writer import TableWriter

__all__ = [
    "EXPORTED",
    "SCHEMA_VERSION",
    "TABLES",
    "Comparison",
    "Importance",
    "Results",
    "TableWriter",
    "compact",
    "compare_trials",
    "draw_all",
    "draw_plot",
    "export_runs",
    "export_sweep",
    "language_rates",
    "layer_ranking",
    "list_sweeps",
    "open_results",
    "paired_bootstrap",
    "plot_allocation",
    "plot_learning_curves",
    "pool_seeds",
    "save_drawing",
    "sweep_significance",
    "wer_interval",
    "write_report",
]
