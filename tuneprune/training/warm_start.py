"""What a run takes over from the checkpoint that it starts from: weights, labels and allocation.

Only a run that begins needs it; one that is resumed has its weights in a checkpoint of its own.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tuneprune.config import RunConfig
from tuneprune.data.text import LabelSet, build_labels
from tuneprune.errors import CheckpointError, ConfigError, TunepruneError
from tuneprune.models.speech_model import SpeechModel
from tuneprune.training.checkpoint import HOOK_TENSORS, Checkpoint, open_checkpoint
from tuneprune.training.recogniser import ungated_model

FIELD = "model.start_from"

_MAY_DIFFER = {
    FIELD,
    "model.allocation",  # the checkpoint has one of its own
    "model.dropout",
    "model.attention_dropout",
    "model.output_dropout",
    "model.scale_dropout_by_width",
    "model.transducer.dropout",
    "model.transducer.beam",
    "model.transducer.max_labels_per_frame",
}
"""Settings of a model that neither its weights nor their meaning depend on."""

_OF_INPUT = {
    "sample_rate_hz",
    "num_bins",
    "window_ms",
    "hop_ms",
    "min_hz",
    "max_hz",
    "normalise",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class WarmStart:
    """What a run needs to know of its start, also once that is gone.

    Args:
        labels: of the checkpoint.
        fingerprint: of its weights, see ``weights_hash``.
        is_there: the checkpoint can be read; only a resumed run does without.
    """

    labels: LabelSet
    fingerprint: str
    is_there: bool


def open_start(config: RunConfig) -> Checkpoint | None:
    """Return the checkpoint that a run starts from, without tensors; None for drawn weights.

    Raises:
        ConfigError: there is none at the path, or it has other settings of the model or its input,
            or masks that the run does not take over.
    """
    path = config.model.start_from
    if path is None:
        return None
    try:
        held = open_checkpoint(path)
    except CheckpointError as error:
        raise ConfigError(FIELD, str(path), error.remedy) from None
    except TunepruneError as error:  # its settings, or its allocation
        raise ConfigError(FIELD, str(path), f"can not be read ({error})") from None
    if not (path / "model.safetensors").is_file():
        raise ConfigError(FIELD, str(path), "has no model.safetensors")
    own = getattr(config.adaptation, "masks_from", None)
    if (path / HOOK_TENSORS).is_file() and own is None:
        remedy = "has masks, and without them is another model: give adaptation.masks_from, too"
        raise ConfigError(FIELD, str(path), remedy)
    for place, ours, theirs in _differing("", _deciding(config), _deciding(held.config)):
        shown = "null" if theirs is None else repr(theirs)
        raise ConfigError(place, ours, f"must be {shown}, as in {FIELD} ({path})")
    return held


def find_start(config: RunConfig, resumed: Checkpoint | None = None) -> WarmStart | None:
    """Return what a run is to know of its start; None if it has none.

    Args:
        config: of the run.
        resumed: the run's own checkpoint that it goes on from; it does for a start that is gone.

    Raises:
        ConfigError: as of ``open_start``; or its weights can not be read.
    """
    path = config.model.start_from
    if path is None:
        return None
    begun = None if resumed is None else resumed.progress.get("start_fingerprint")
    if resumed is not None and begun is not None and not (path / "state.json").is_file():
        return WarmStart(labels=resumed.labels, fingerprint=begun, is_there=False)
    held = open_start(config)
    assert held is not None, "there is a path"
    return WarmStart(labels=held.labels, fingerprint=weights_hash(path), is_there=True)


def weights_hash(path: Path) -> str:
    """Return 16 hex digits of the weights of the checkpoint that a run starts from.

    Raises:
        ConfigError: they can not be read.
    """
    try:
        with (path / "model.safetensors").open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:16]
    except OSError as error:
        remedy = f"has weights that can not be read ({error.strerror})"
        raise ConfigError(FIELD, str(path), remedy) from None


def labels_of_run(
    config: RunConfig, texts: Sequence[str], start: WarmStart | Checkpoint | None
) -> LabelSet:
    """Return the labels of a run: those of its start, else those of its training texts.

    Args:
        config: of the run.
        texts: of its training split.
        start: what it takes over, if anything.

    Raises:
        CorpusError: there are no labels, or the lexicon can not be read.
        ConfigError: the lexicon is not that of the start.
    """
    if start is None:
        return build_labels(config.text, texts)
    if config.text.unit == "phonemes" and build_labels(config.text, texts) != start.labels:
        remedy = f"must say the same as the lexicon of {FIELD} ({config.model.start_from})"
        raise ConfigError("text.lexicon", str(config.text.lexicon), remedy)
    return start.labels


def why_lacking(start: WarmStart | Checkpoint | None) -> str:
    """Return why a character of a text may have no label."""
    return "no training text has them" if start is None else f"{FIELD} has none for them"


def with_start_allocation(config: RunConfig) -> RunConfig:
    """Return a run with the allocation that its model begins with, for looking at its shape.

    Raises:
        ConfigError: as of ``open_start``.
    """
    held = open_start(config)
    if held is None:
        return config
    blocks = tuple(held.allocation.to_json()["blocks"]) or None
    model = config.model.model_copy(update={"allocation": blocks})
    return config.model_copy(update={"model": model})


def start_model(config: RunConfig) -> SpeechModel | None:
    """Return the model that a run starts from, built by its own settings; None for drawn weights.

    Gates that were being learned are folded into the weights.

    Raises:
        ConfigError: as of ``open_start``.
        CheckpointError: its tensors can not be read.
    """
    held = open_start(config)
    return None if held is None else ungated_model(replace(held, config=config))


def _deciding(config: RunConfig) -> dict[str, Any]:
    """Return what weights and their meaning depend on, with some more of the model."""
    return {
        "text": config.text.model_dump(mode="json", include={"unit"}),
        "features": config.features.model_dump(mode="json", include=_OF_INPUT),
        "model": config.model.model_dump(mode="json"),
    }


def _differing(place: str, ours: Any, theirs: Any) -> Iterator[tuple[str, Any, Any]]:
    """Yield settings that must not differ and do: dotted path and both values."""
    if ours == theirs or place in _MAY_DIFFER:
        return
    if not (isinstance(ours, Mapping) and isinstance(theirs, Mapping)):
        yield place, ours, theirs
        return
    for name in ours:
        yield from _differing(f"{place}.{name}".lstrip("."), ours[name], theirs[name])
