"""The typed, frozen configuration of one run.

It knows ranges and combinations; what the settings do is said by the parts they configure.
"""

from tuneprune.config.adaptation import (
    GROWTH_NOISE,
    LEARNABLE,
    METHODS,
    Adaptation,
    GrowDropConfig,
    NoAdaptation,
    PluginMethod,
)
from tuneprune.config.adaptive_mask import TO_CHANGE, AdaptiveMaskConfig, SparsityScheduleConfig
from tuneprune.config.corpus import CorpusConfig, SynthesisConfig
from tuneprune.config.features import FeaturesConfig, SpecAugmentConfig, TextConfig
from tuneprune.config.federated import FederatedConfig, FederatedDropoutConfig
from tuneprune.config.model import FrontendConfig, ModelConfig, ModuleKind
from tuneprune.config.overrides import with_overrides, with_value
from tuneprune.config.run import RunConfig, build_config, read_run_settings
from tuneprune.config.settings import Settings
from tuneprune.config.stacking import StackingConfig
from tuneprune.config.supernet import SelectorConfig, SupernetConfig
from tuneprune.config.training import OptimConfig, TrainingConfig
from tuneprune.config.transducer import EmformerConfig, TransducerConfig
from tuneprune.config.wording import as_config_error

__all__ = [
    "GROWTH_NOISE",
    "LEARNABLE",
    "METHODS",
    "TO_CHANGE",
    "Adaptation",
    "AdaptiveMaskConfig",
    "CorpusConfig",
    "EmformerConfig",
    "FeaturesConfig",
    "FederatedConfig",
    "FederatedDropoutConfig",
    "FrontendConfig",
    "GrowDropConfig",
    "ModelConfig",
    "ModuleKind",
    "NoAdaptation",
    "OptimConfig",
    "PluginMethod",
    "RunConfig",
    "SelectorConfig",
    "Settings",
    "SparsityScheduleConfig",
    "SpecAugmentConfig",
    "StackingConfig",
    "SupernetConfig",
    "SynthesisConfig",
    "TextConfig",
    "TrainingConfig",
    "TransducerConfig",
    "as_config_error",
    "build_config",
    "read_run_settings",
    "with_overrides",
    "with_value",
]
