"""Which trials of a sweep share stages: known where it is known what they are trained on."""

from collections.abc import Mapping

from tuneprune.errors import ConfigError
from tuneprune.sweep.history import trunk_of
from tuneprune.sweep.proposals import Proposal
from tuneprune.sweep.resources import TrialResources
from tuneprune.sweep.sharing import SharedTrial
from tuneprune.sweep.sharing_plan import RunLengths, plan_sharing, possible_runs
from tuneprune.sweep.space import Space
from tuneprune.sweep.task import SweepTask
from tuneprune.training.prepare import Prepared


class Sharers:
    """What the trials of a sweep share, as far as it is known what they will be.

    Args:
        space: of the sweep.
        prepared: by what decides over it; None and nothing at all for trials that share nothing.
        resources: of a trial.
        lengths: of runs on what was prepared, where some are computed already.
    """

    def __init__(
        self,
        space: Space,
        prepared: Mapping[str, Prepared | None],
        resources: TrialResources,
        *,
        lengths: RunLengths | None = None,
    ) -> None:
        known = {key: one for key, one in prepared.items() if one is not None}
        self._device = "cuda" if resources.use_gpu else "cpu"
        self._length_of = lengths or RunLengths(known)
        self.plan = None
        if known:
            self.plan = plan_sharing(possible_runs(space), self._length_of, device=self._device)

    def of(self, task: SweepTask, proposal: Proposal) -> SharedTrial | None:
        """Return a trial with what it shares, if it can share anything; a federated one can not."""
        try:
            config = task.config(proposal)
            alone = self.plan is None or config.federated is not None
            length = None if alone else self._length_of(config)
        except ConfigError:  # its own process will say so
            return None
        if length is None:
            return None
        fingerprint = length.corpus_fingerprint
        trunk = trunk_of(config, corpus_fingerprint=fingerprint, device=self._device)
        shared = task.shared(proposal, trunk=trunk.trunk, total_steps=length.total_steps)
        return shared if shared is not None and shared.has_history else None
