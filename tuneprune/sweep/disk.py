"""What a sweep takes on disk, computed from its models before anything is trained."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch

from tuneprune.config import AdaptiveMaskConfig, RunConfig, SupernetConfig
from tuneprune.models.build import build_model
from tuneprune.models.speech_model import SpeechModel
from tuneprune.sweep.proposals import GridProposer
from tuneprune.sweep.space import Space, baseline_config, build_trial_config
from tuneprune.sweep.space_checks import first_sample
from tuneprune.training.warm_start import with_start_allocation

_MOMENTS = 2  # that Adam keeps of every parameter, in its precision


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckpointSize:
    """Bytes of the tensors of a checkpoint; what else is in it is small.

    Args:
        weights: of the best checkpoint, which is not trained on.
        resumable: of the last one, and of a stage: weights, both moments of Adam, and the weights
            that prunings go back to, if they do.
    """

    weights: int
    resumable: int

    @property
    def of_run(self) -> int:
        """Return what a run keeps: its best and its last checkpoint."""
        return self.weights + self.resumable


class CheckpointSizes:
    """Sizes of the checkpoints of runs, each model built once, without its weights.

    A model that an event makes larger or smaller is taken to be as large as it began. A supernet
    has output layers and scores beside it.

    Args:
        count_labels: returns the outputs of a run's recogniser, the blank included; it is asked
            once for each corpus, unit of text and checkpoint to start from.
    """

    def __init__(self, count_labels: Callable[[RunConfig], int]) -> None:
        self._count_labels = count_labels
        self._labels: dict[tuple[str, str, str], int] = {}
        self._known: dict[tuple[object, ...], CheckpointSize] = {}

    def __call__(self, config: RunConfig) -> CheckpointSize:
        start = str(config.model.start_from)
        texts = (config.corpus.model_dump_json(), config.text.model_dump_json(), start)
        if texts not in self._labels:
            self._labels[texts] = self._count_labels(config)
        labels = self._labels[texts]
        model = (config.model.model_dump_json(), config.features.num_bins, labels)
        key = (*model, _rewinds(config), _networks_of(config))
        if key not in self._known:
            self._known[key] = _size(config, labels)
        return self._known[key]


def checkpoints_bytes(space: Space, sizes: CheckpointSizes) -> int:
    """Return what the checkpoints of all runs of a sweep take; a little more than in the end.

    Of a space that is no grid, every run is taken to have the model of the baseline, and beside
    it what the first values of all ranges make a trial keep.
    """
    if not space.is_grid:
        adaptation = build_trial_config(space, first_sample(space.search.space)).adaptation
        one = baseline_config(space).model_copy(update={"adaptation": adaptation})
        return space.num_runs * sizes(one).of_run
    return sum(sizes(config).of_run for config in grid_configs(space))


def grid_configs(space: Space) -> Iterable[RunConfig]:
    """Return the runs of a grid in order."""
    for run in GridProposer(space).runs:
        if run.is_baseline:
            yield baseline_config(space, run.values)
        else:
            yield build_trial_config(space, run.values)


def _size(config: RunConfig, num_labels: int) -> CheckpointSize:
    with torch.device("meta"):
        model = build_model(
            with_start_allocation(config).model,
            num_bins=config.features.num_bins,
            num_labels=num_labels,
            seed=0,
        )
    beside = _beside(config, model)
    weights = sum(_bytes(tensor) for tensor in model.state_dict().values()) + beside
    moments = _MOMENTS * (sum(_bytes(parameter) for parameter in model.parameters()) + beside)
    start = weights if _rewinds(config) else 0
    return CheckpointSize(weights=weights, resumable=weights + moments + start)


def _rewinds(config: RunConfig) -> bool:
    one = config.adaptation
    return isinstance(one, AdaptiveMaskConfig) and one.rewind


def _networks_of(config: RunConfig) -> tuple[int, str] | None:
    """Return what decides over the size of what a supernet has beside its model."""
    one = config.adaptation
    if not isinstance(one, SupernetConfig) or config.model.transducer is not None:
        return None  # a transducer comes here only with the settings of trials that are none
    return len(one.subnets), one.selector.kind


def _beside(config: RunConfig, model: SpeechModel) -> int:
    """Return the bytes of the output layers of subnets and of the scores of modules.

    Computed, not built: a model is given them for a length of training, which is not known here.
    """
    networks = _networks_of(config)
    if networks is None:
        return 0
    count, kind = networks
    output = [tensor for name, tensor in model.named_parameters() if name.startswith("output.")]
    modules = sum(bool(module.groups) for module in model.prunable_modules())
    scores = {"simple_top_k": modules, "zero_out": modules, "ortho_softmax": modules**2}
    return count * sum(map(_bytes, output)) + scores.get(kind, 0) * output[0].element_size()


def _bytes(tensor: torch.Tensor) -> int:
    return tensor.numel() * tensor.element_size()
