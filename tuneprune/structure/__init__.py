"""What a model is made of, what it costs, what matters in it, and how it is changed.

Generic over ``nn.Module`` by names and shapes: no model classes, no data, no training loop.
"""

from tuneprune.structure.check import check_modules
from tuneprune.structure.cost import CostRule, exchange_budget, group_costs, prunable_params
from tuneprune.structure.groups import (
    Adaptable,
    Allocation,
    Cut,
    GroupId,
    ParameterGroup,
    PrunableModule,
    TensorSlice,
    all_groups,
    allocation_of,
    describe_module,
    ordinals,
    tensors_of,
)
from tuneprune.structure.importance import SCORERS, Scorer, SmoothedScores, score_groups
from tuneprune.structure.plan import AdaptationPlan, BudgetRule, plan_reallocation
from tuneprune.structure.surgery import OptimizerState, SurgeryReport, apply_plan

__all__ = [
    "SCORERS",
    "Adaptable",
    "AdaptationPlan",
    "Allocation",
    "BudgetRule",
    "CostRule",
    "Cut",
    "GroupId",
    "OptimizerState",
    "ParameterGroup",
    "PrunableModule",
    "Scorer",
    "SmoothedScores",
    "SurgeryReport",
    "TensorSlice",
    "all_groups",
    "allocation_of",
    "apply_plan",
    "check_modules",
    "describe_module",
    "exchange_budget",
    "group_costs",
    "ordinals",
    "plan_reallocation",
    "prunable_params",
    "score_groups",
    "tensors_of",
]
