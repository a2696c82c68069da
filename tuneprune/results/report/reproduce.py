"""The command that trains a trial once more, by itself: from its settings and the sweep's command.

``tuneprune train FILE`` takes the base that a space shares, as ``tuneprune federated`` does; what
the trial had otherwise is set.
"""

import shlex
from collections.abc import Container, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

import yaml

from tuneprune.results.report.sweep_file import SweepFile

_TAKE_A_VALUE = (
    "--out", "--set", "--max-concurrent", "--stages-gb", "--step-time", "--workers",
    "--clients-at-once",
)  # fmt: skip
_OF_TRIALS = ("search.", "adaptation", "federated.dropout")
"""Settings of a space that are the trials' and not the base's."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Started:
    """The file that a sweep or run was started from, and the ``a.b=value`` set over it."""

    file: str
    overrides: tuple[str, ...]


def started_from(command: str) -> Started | None:
    """Return what a recorded command names; None if it trains nothing."""
    try:
        _, verb, *words = shlex.split(command)
    except ValueError:
        return None
    if verb not in ("sweep", "train", "federated"):
        return None
    files: list[str] = []
    overrides: list[str] = []
    rest = iter(words)
    for word in rest:
        option, equals, value = word.partition("=")
        if option in _TAKE_A_VALUE:
            given = value if equals else next(rest, "")
            if option == "--workers":
                given = f"training.workers={given}"
            overrides += [given] if option in ("--set", "--workers") else []
        elif not word.startswith("-"):
            files.append(word)
    return Started(file=files[0], overrides=tuple(overrides)) if files else None


def train_command(
    sweep: SweepFile, config: Mapping[str, Any], settings: Mapping[str, Any], out: str
) -> str | None:
    """Return the command that trains one trial again; None if no file is known to start from.

    Args:
        sweep: the sweep, with the base of its trials.
        config: all settings of the trial.
        settings: its searched ones.
        out: the folder that the command is to write.
    """
    started = started_from(sweep.command)
    if started is None or not config or not sweep.base:
        return None
    is_run = not sweep.given
    base = [one for one in started.overrides if is_run or not one.startswith(_OF_TRIALS)]
    changed = _changes(sweep.base, config, given={*sweep.given, *settings, "adaptation.method"})
    sets = [word for one in (*base, *changed) for word in ("--set", one)]
    verb = "federated" if config.get("federated") else "train"
    return shlex.join(["tuneprune", verb, started.file, *sets, "--out", out])


def flat(settings: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every single setting of nested ones with its dotted path."""
    for name, value in settings.items():
        path = f"{above}.{name}" if above else str(name)
        if isinstance(value, Mapping) and value:
            yield from flat(value, path)
        else:
            yield path, value


def as_yaml(value: object) -> str:
    """Return a value on one line, as ``--set`` reads it."""
    text = yaml.safe_dump(value, default_flow_style=True, width=10**9, allow_unicode=True)
    return text.removesuffix("\n").removesuffix("\n...")


def _changes(
    base: Mapping[str, Any], config: Mapping[str, Any], *, given: Set[str]
) -> Iterator[str]:
    """Yield what has to be set over the base to have a configuration.

    Settings of another method than the base's that the search did not give are its defaults.
    """
    theirs, ours = dict(flat(base)), dict(flat(config))
    # What the base has and the trial has not can only be taken away with its section.
    whole = {path.split(".")[0] for path in theirs if not _has(ours, path)}
    for section in [name for name in config if name in whole]:
        yield f"{section}={as_yaml(config[section])}"
    for path, value in ours.items():
        if path.split(".")[0] in whole or (path in theirs and theirs[path] == value):
            continue
        if path in theirs or not path.startswith("adaptation.") or _has(given, path):
            yield f"{path}={as_yaml(value)}"


def _has(paths: Container[str], path: str) -> bool:
    """Return whether a dotted path or one above it is there."""
    parts = path.split(".")
    return any(".".join(parts[:end]) in paths for end in range(1, len(parts) + 1))


def differing(configs: Sequence[Mapping[str, Any]]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return the settings that all configurations have in common, and the others of each."""
    flattened = [dict(flat(one)) for one in configs]
    if not flattened:
        return {}, []
    missing = object()
    common = {
        path: value
        for path, value in flattened[0].items()
        if all(one.get(path, missing) == value for one in flattened[1:])
    }
    return common, [{p: v for p, v in one.items() if p not in common} for one in flattened]
