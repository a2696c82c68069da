"""Pictures of a sweep: one file a kind, all of them by name in ``KINDS``."""

from tuneprune.results.plots.churn import churn_picture
from tuneprune.results.plots.comparison import setting_comparison
from tuneprune.results.plots.curves import learning_curves
from tuneprune.results.plots.evolution import allocation_evolution
from tuneprune.results.plots.figures import save_figure
from tuneprune.results.plots.files import (
    check_out,
    plot_allocation,
    plot_learning_curves,
    save_drawing,
)
from tuneprune.results.plots.front import pareto_picture
from tuneprune.results.plots.history import optimisation_history
from tuneprune.results.plots.importance import Importance, importance_bars
from tuneprune.results.plots.kinds import KINDS, Drawing, FindImportance, draw_all, draw_plot
from tuneprune.results.plots.masks import mask_picture
from tuneprune.results.plots.panels import allocation_panels
from tuneprune.results.plots.reset_steps import reset_map
from tuneprune.results.plots.resets import reset_picture
from tuneprune.results.plots.rounds import round_picture
from tuneprune.results.plots.scores import score_map
from tuneprune.results.plots.sizes import size_picture
from tuneprune.results.plots.stages import stage_tree
from tuneprune.results.plots.subnets import subnet_picture
from tuneprune.results.plots.surface import setting_surface

__all__ = [
    "KINDS",
    "Drawing",
    "FindImportance",
    "Importance",
    "allocation_evolution",
    "allocation_panels",
    "check_out",
    "churn_picture",
    "draw_all",
    "draw_plot",
    "importance_bars",
    "learning_curves",
    "mask_picture",
    "optimisation_history",
    "pareto_picture",
    "plot_allocation",
    "plot_learning_curves",
    "reset_map",
    "reset_picture",
    "round_picture",
    "save_drawing",
    "save_figure",
    "score_map",
    "setting_comparison",
    "setting_surface",
    "size_picture",
    "stage_tree",
    "subnet_picture",
]
