"""What settings are called in pictures, and the sweeps that one picture is of."""

from collections.abc import Iterable, Mapping, Sequence

from tuneprune.errors import ResultsError
from tuneprune.results.plots.seed_groups import seed_groups
from tuneprune.results.reader import Results
from tuneprune.results.trainings import Setting, TrialKey


def setting_names(trainings: Mapping[TrialKey, Setting]) -> dict[Setting, str]:
    """Return what tells each setting from the others: what varies, or else its trials.

    Args:
        trainings: the setting of each trial.
    """
    settings = sorted(set(trainings.values()))
    members = {
        setting: [trial for (_, trial), one in trainings.items() if one == setting]
        for setting in settings
    }
    groups = seed_groups(
        {
            "sweep_id": setting.sweep_id,
            "is_baseline": setting.is_baseline,
            "settings": setting.settings,
            "trial_id": ", ".join(members[setting]),
        }
        for setting in settings
        if not setting.alone
    )
    known = [setting for setting in settings if not setting.alone]
    names = {setting: group.label for setting, group in zip(known, groups, strict=True)}
    return {setting: names.get(setting, setting.alone) for setting in settings}


def each_once(sweeps: Iterable[Results]) -> Sequence[Results]:
    """Return the results of sweeps.

    Raises:
        ResultsError: a sweep is among them twice.
    """
    found = list(sweeps)
    seen: set[str] = set()
    for results in found:
        names = set(results.table("trials")["sweep_id"].to_pylist())
        if names & seen:
            raise ResultsError("sweep", min(names & seen), "is named twice; leave one of them out")
        seen |= names
    return found
