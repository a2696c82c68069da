"""What a model is made of, what it costs, what matters in it, and how it is changed.

Generic over ``nn.Module`` by names and shapes: no model classes, no data, no training loop.
"""

from tuneprune.structure.blocks import (
    ENTRIES,
    Blocks,
    NofM,
    Norm,
    Pattern,
    block_scores,
    blocks_of,
    expand_mask,
    grid_shape,
    kept_entries,
    read_pattern,
)
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
from tuneprune.structure.mask_bits import masks_fingerprint, pack_mask, unpack_mask
from tuneprune.structure.mask_exchange import drop_and_grow, exchange_fraction
from tuneprune.structure.mask_sets import (
    Churn,
    Masks,
    Overlap,
    candidates,
    churn,
    density,
    num_kept,
    overlap,
    union,
)
from tuneprune.structure.masks import Ranking, kept_count, top_blocks, top_n_of_m
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
from tuneprune.structure.units import ModuleUnits, SubModels, UnitCut, num_dropped, units_of

__all__ = [
    "ENTRIES",
    "SCORERS",
    "Adaptable",
    "AdaptationPlan",
    "Allocation",
    "Blocks",
    "BudgetRule",
    "Churn",
    "CostRule",
    "Cut",
    "Gated",
    "GroupGates",
    "GroupId",
    "Growth",
    "Limits",
    "Masks",
    "ModuleUnits",
    "NofM",
    "Norm",
    "OptimizerState",
    "Overlap",
    "ParameterGroup",
    "Pattern",
    "PrunableModule",
    "Ranking",
    "Reduction",
    "ScoredTensors",
    "Scorer",
    "SmoothedScores",
    "SubModels",
    "SurgeryReport",
    "TensorSlice",
    "UnitCut",
    "all_groups",
    "allocation_of",
    "apply_plan",
    "block_scores",
    "blocks_of",
    "candidates",
    "check_modules",
    "churn",
    "density",
    "describe_module",
    "drop_and_grow",
    "exchange_budget",
    "exchange_fraction",
    "expand_mask",
    "fold_gates_",
    "gate_values",
    "grid_shape",
    "group_costs",
    "kept_count",
    "kept_entries",
    "masks_fingerprint",
    "num_dropped",
    "num_kept",
    "ordinals",
    "overlap",
    "pack_mask",
    "plan_reallocation",
    "pool_sizes",
    "pools_of",
    "prunable_cost",
    "prunable_params",
    "read_pattern",
    "score_groups",
    "tensors_of",
    "top_blocks",
    "top_n_of_m",
    "union",
    "units_of",
    "unpack_mask",
]
