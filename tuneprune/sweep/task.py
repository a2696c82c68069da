"""What all trials of a sweep are told, in whatever process they run."""

from dataclasses import dataclass
from pathlib import Path

from tuneprune.config import AdaptiveMaskConfig, RunConfig, SupernetConfig
from tuneprune.distributed.ray_train import Train
from tuneprune.sweep.claims import Claims
from tuneprune.sweep.history import History
from tuneprune.sweep.proposals import Proposal
from tuneprune.sweep.rungs import Judge, Rungs
from tuneprune.sweep.sharing import SharedTrial
from tuneprune.sweep.sharing_plan import SharingPlan
from tuneprune.sweep.space import Space, baseline_config, build_trial_config
from tuneprune.sweep.stages import StageStore


@dataclass(frozen=True, kw_only=True, slots=True)
class SweepTask:
    """What all trials of a sweep are told; travels to them by Ray's own serialisation.

    Args:
        out: folder of the sweep, absolute.
        folder: where the sweep was started; relative paths of configs begin there.
        train: what trains one run.
        use_gpu: every worker has a GPU of its own.
        plan: what trials share; None: every trial trains all of its steps.
        stages_bytes: what the stages may take on disk.
    """

    space: Space
    sweep_id: str
    out: Path
    folder: Path
    train: Train
    use_gpu: bool
    plan: SharingPlan | None = None
    stages_bytes: int | None = None

    @property
    def store(self) -> StageStore:
        """Return the stages of the sweep."""
        return StageStore(self.out / "stages", budget_bytes=self.stages_bytes)

    @property
    def claims(self) -> Claims:
        """Return who trains what."""
        return Claims(self.out / "claims")

    def config(self, proposal: Proposal) -> RunConfig:
        """Return the run to train.

        Raises:
            ConfigError: the proposed values do not go together.
        """
        build = baseline_config if proposal.is_baseline else build_trial_config
        config = build(self.space, proposal.values)
        if proposal.seed is None:
            return config
        return config.model_copy(update={"seed": proposal.seed})

    def checkpoint_dir(self, trial_id: str) -> Path:
        """Return the folder of a trial's checkpoints."""
        return self.out / "checkpoints" / trial_id

    @property
    def rungs(self) -> Rungs:
        """Return what trials have reached where they are judged."""
        return Rungs(self.out / "rungs")

    def judge(self, proposal: Proposal, config: RunConfig) -> Judge | None:
        """Return what says whether a trial stops early.

        None for baselines and replicates: others are compared with them.
        """
        scheduler = self.space.search.scheduler
        if scheduler is None or proposal.is_baseline or proposal.replicate_of is not None:
            return None
        return Judge(
            trial_id=proposal.trial_id,
            scheduler=scheduler.build(),
            rungs=self.rungs,
            metric=self.space.search.rate,
            evaluate_every=config.training.evaluate_every,
            first_event=config.adaptation.method != "none",
            not_before=_settled(config),
        )

    def shared(
        self, proposal: Proposal, *, trunk: str | None, total_steps: int
    ) -> SharedTrial | None:
        """Return a trial with what it shares; None for one without a trunk.

        Raises:
            ConfigError: the proposed values do not go together.
        """
        if self.plan is None or trunk is None:
            return None
        config = self.config(proposal)
        return SharedTrial(
            trial_id=proposal.trial_id,
            config=config,
            judge=self.judge(proposal, config),
            sharing=self.plan.sharing(History(trunk=trunk), total_steps),
            out=self.out,
            checkpoint_dir=self.checkpoint_dir(proposal.trial_id),
            store=self.store,
            claims=self.claims,
        )


def _settled(config: RunConfig) -> float:
    """Return the fraction of training from which on a run's networks are of their final sizes."""
    one = config.adaptation
    if isinstance(one, SupernetConfig):
        return one.switch_at
    return one.last_prune if isinstance(one, AdaptiveMaskConfig) else 0.0
