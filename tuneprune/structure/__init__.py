"""What a model is made of, what it costs, what matters in it, and how it is changed.

Generic over ``nn.Module`` by names and shapes: no model classes, no data, no training loop.
"""

from tuneprune.structure.check import check_modules
from tuneprune.structure.cost import (
    CostRule,
    exchange_budget,
    group_costs,
    prunable_cost,
    prunable_params,
)
from tuneprune.structure.gates import Gated, GroupGates, fold_gates_, gate_values
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
from tuneprune.structure.importance import (
    Reduction,
    ScoredTensors,
    SmoothedScores,
    score_groups,
)
from tuneprune.structure.optimizer_state import OptimizerState
from tuneprune.structure.plan import (
    AdaptationPlan,
    BudgetRule,
    Limits,
    plan_reallocation,
    pool_sizes,
    pools_of,
)
from tuneprune.structure.scorers import SCORERS, Scorer
from tuneprune.structure.surgery import Growth, SurgeryReport, apply_plan

__all__ = [
    "SCORERS",
    "Adaptable",
    "AdaptationPlan",
    "Allocation",
    "BudgetRule",
    "CostRule",
    "Cut",
    "Gated",
    "GroupGates",
    "GroupId",
    "Growth",
    "Limits",
    "OptimizerState",
    "ParameterGroup",
    "PrunableModule",
    "Reduction",
    "ScoredTensors",
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
    "fold_gates_",
    "gate_values",
    "group_costs",
    "ordinals",
    "plan_reallocation",
    "pool_sizes",
    "pools_of",
    "prunable_cost",
    "prunable_params",
    "score_groups",
    "tensors_of",
]
