"""Answer questions about sweeps from their tables, also while the sweeps run.

It reads only. Every answer is a ``pyarrow.Table``; its columns are those of schema.py, if it does
not say which.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import pyarrow as pa
import pyarrow.compute as pc

from tuneprune.errors import ResultsError
from tuneprune.results.agreement import agreement_of
from tuneprune.results.churn import ChurnView, churn_table
from tuneprune.results.compare import Block, comparison_table
from tuneprune.results.folders import place_of
from tuneprune.results.learning import learning_curves_of
from tuneprune.results.masks import MaskView, mask_table
from tuneprune.results.networks import of_network, of_subnets, trial_of, whole_model
from tuneprune.results.ranking import best_trials, pareto_front
from tuneprune.results.reset_agreement import AgreementView, reset_agreement_of
from tuneprune.results.resets import THRESHOLD, ResetChoice, ResetRows, ResetView, reset_table
from tuneprune.results.round_settings import round_settings
from tuneprune.results.rounds import ClientView, RoundView, client_table, round_table
from tuneprune.results.schema import TABLES
from tuneprune.results.subnets import SubnetRows, SubnetView, subnet_table
from tuneprune.results.sweep_tables import SweepTables
from tuneprune.results.trainings import Steps


class Results(SweepTables):
    """The tables of one sweep or of several, made by ``open_results``, and what can be asked.

    Every call looks at the folder again and reads only the files that are new, so one object
    follows a running sweep. Rows are settled: one for each key, the highest attempt's.
    """

    def steps(self, trial: str | None = None) -> pa.Table:
        """Return the training log, of one trial or of all."""
        return self.rows_of("steps", trial)

    def evaluations(
        self,
        trial: str | None = None,
        split: str | None = None,
        *,
        by_language: bool = False,
        by_subnet: bool = False,
    ) -> pa.Table:
        """Return error rates over training, of one trial or all, on one split or all.

        They are of the whole model and of all utterances together; ``by_language``, of each
        language of a split that has several, named in the column ``language``; ``by_subnet``, of
        each subnet, named by its size in the column ``subnet``.

        Raises:
            ResultsError: both at once, or a split that was not evaluated.
        """
        if by_language and by_subnet:
            raise ResultsError(
                "by_subnet", True, "subnets are not evaluated by language; leave one"
            )
        rows = self.rows_of("evaluations", trial)
        rows = of_subnets(rows) if by_subnet else whole_model(rows)
        if by_language:
            rows = rows.filter(pc.is_valid(rows["language"]))
        elif rows["language"].null_count < rows.num_rows:
            rows = rows.filter(pc.is_null(rows["language"]))
        return rows if split is None else _of_split(rows, split)

    def curves(self, trial: str | None = None, split: str | None = None) -> pa.Table:
        """Return learning curves, of one trial or of all; see ``learning.learning_curves_of``.

        Args:
            trial: the trial; all of them if None.
            split: whose error rate; the trials' dev split if None.
        """
        evaluations = self.evaluations(trial, split or self.split_name("dev"))
        return learning_curves_of(evaluations, self.steps(trial), self.adaptations(trial))

    def adaptations(self, trial: str | None = None) -> pa.Table:
        """Return the adaptation events, of one trial or of all."""
        return self.rows_of("adaptations", trial)

    def groups(
        self,
        trial: str | None = None,
        *,
        event: int | None = None,
        scorer: str | None = None,
        applied_only: bool = False,
    ) -> pa.Table:
        """Return the score and fate of every group at every event, of one trial or of all.

        An event may hold several scorers: the one that it followed, and those that were watched
        beside it, with the fate that their own plan would have given. ``applied_only`` leaves the
        watched ones out; ``event`` and ``scorer`` leave all others out.

        Raises:
            ResultsError: there are rows, but none of that event or that scorer.
        """
        rows = self.rows_of("group_scores", trial)
        for name, value in (("event", event), ("scorer", scorer)):
            rows = rows if value is None else _having(rows, name, value)
        return rows.filter(pc.fill_null(rows["applied"], True)) if applied_only else rows

    def recoveries(self, trial: str | None = None) -> pa.Table:
        """Return whether and when the loss came back after each event, of one trial or of all."""
        return self.rows_of("recoveries", trial)

    def scorer_agreement(self, trial: str | None = None) -> pa.Table:
        """Return how far the scorers of each event agree; see ``agreement.agreement_of``."""
        return agreement_of(self.groups(trial))

    def allocation(self, trial: str, step: int | None = None) -> pa.Table:
        """Return the groups and parameters of every module as they stood after ``step``.

        Args:
            trial: the trial.
            step: finished optimizer steps; 0 is before training, None is the end.
        """
        rows = self.rows_of("allocations", trial)
        if step is not None:
            rows = rows.filter(pc.less_equal(rows["step"], step))
        return _last_step(rows)

    def masks(self, trial: str, step: int | None = None, *, by: MaskView = "language") -> pa.Table:
        """Return what a trial's masks kept after ``step``, or what its events changed.

        Args:
            trial: the trial.
            step: finished optimizer steps; None is the end.
            by: what a row is; see ``masks.mask_table``.
        """
        rows = self.rows_of("masks", trial)
        return mask_table(rows, self.adaptations(trial), by=by, step=step)

    def subnets(
        self, trial: str | None = None, *, by: SubnetView = "subnet", step: int | None = None
    ) -> pa.Table:
        """Return supernets with their subnets, of one trial or of all that have some.

        Args:
            trial: the trial; all of them if None.
            by: what a row is; see ``subnets.subnet_table``.
            step: finished optimizer steps, up to which events count; None is the end.
        """
        trials = self.trials()
        if trial is not None:
            trials = trials.filter(pc.equal(trials["trial_id"], trial))
        rows = SubnetRows(
            trials=trials,
            searched=self.searched(),
            subnets=self.rows_of("subnets", trial),
            evaluations=self.evaluations(trial, by_subnet=True),
            adaptations=self.adaptations(trial),
        )
        return subnet_table(rows, by=by, step=step)

    def resets(
        self,
        trial: str | None = None,
        *,
        by: ResetView = "setting",
        step: Steps = None,
        split: str | None = None,
        scope: str | None = None,
        reset: str | None = None,
        threshold: float = THRESHOLD,
    ) -> pa.Table:
        """Return what it does to the errors of models that parts of them are reset.

        Args:
            trial: the trial; all of them if None.
            by: what a row is; see ``resets.reset_table``.
            step: of the checkpoints; ``every`` step; or None, the last one of each trial.
            split: what was recognised.
            scope: what was reset at once: a ``block``, a ``module``, a ``group`` or the ``model``.
            reset: what to: ``re_init`` or ``re_rand``; ``nothing`` is the model as it was trained.
            threshold: the increase, as a share of the WER as trained, up to which a part is called
                ambient.
        """
        rows = ResetRows(
            trials=self.table("trials"),
            searched=self.searched(),
            resets=self.rows_of("layer_resets", trial),
        )
        choice = ResetChoice(step=step, split=split, scope=scope, reset=reset)
        return reset_table(rows, choice, by=by, threshold=threshold)

    def reset_agreement(
        self,
        trial: str | None = None,
        *,
        by: AgreementView | None = None,
        step: Steps = "every",
    ) -> pa.Table:
        """Return how well importance scores foresee resets; see ``reset_agreement_of``."""
        resets = self.rows_of("layer_resets", trial)
        return reset_agreement_of(self.groups(trial), resets, by=by, step=step)

    def churn(
        self, trial: str | None = None, *, by: ChurnView = "module", step: Steps = None
    ) -> pa.Table:
        """Return how far training has moved weights, of one trial or of all.

        Args:
            trial: the trial; all of them if None.
            by: what a row is; see ``churn.churn_table``.
            step: finished optimizer steps; ``every`` step; or None, the last one of each trial.
        """
        rows = self.rows_of("churn", trial)
        return churn_table(rows, self.table("trials"), self.searched(), by=by, step=step)

    def rounds(
        self, trial: str | None = None, *, by: RoundView = "round", against: str | None = None
    ) -> pa.Table:
        """Return rounds of federated training, or what they came to for each setting.

        Args:
            trial: of rounds: the trial; all of them if None.
            by: a row a ``round`` (``rounds.round_table``), or a ``setting``, all of its rounds and
                seeds together (``round_settings.round_settings``).
            against: of settings: a trial of the one to compare with; the baselines if None.

        Raises:
            ResultsError: another ``by``, or an argument that is of the other one.
        """
        if by not in get_args(RoundView):
            raise ResultsError("by", by, f"must be one of {', '.join(get_args(RoundView))}")
        if by == "setting":
            if trial is not None:
                raise ResultsError("trial", trial, "is of --by round alone")
            return round_settings(self, against=against)
        if against is not None:
            raise ResultsError("against", against, "is of --by setting alone")
        rows, evaluations = self.rows_of("rounds", trial), self.evaluations(trial)
        return round_table(rows, evaluations, self.table("trials"), self.searched())

    def clients(self, trial: str | None = None, *, by: ClientView = "row") -> pa.Table:
        """Return what clients did in the rounds, of one trial or of all; see ``client_table``."""
        return client_table(self.rows_of("clients", trial), by=by)

    def utterances(self, trial: str, split: str, step: int | None = None) -> pa.Table:
        """Return what was recognised in every utterance of a split.

        Args:
            trial: the trial, or one of its subnets: ``t03/16`` is that of t03 with 16 modules.
            split: name of the split.
            step: the step of the model that recognised; None is the last that was kept.

        Raises:
            ResultsError: no such trial, a subnet that it has kept nothing of, or no such split.
        """
        rows = _of_split(of_network(self.rows_of("utterances", trial_of(trial)), trial), split)
        if step is None:
            return _last_step(rows)
        return rows.filter(pc.equal(rows["step"], step))

    def best(self, metric: str = "dev_wer", k: int = 1, *, baselines: bool = True) -> pa.Table:
        """Return the ``k`` best finished trials, lowest ``metric`` first; see ``best_trials``."""
        return best_trials(self.trials(), metric, k, baselines=baselines)

    def pareto(self, metrics: Sequence[str], *, baselines: bool = True) -> pa.Table:
        """Return the finished trials that none other beats in all metrics; see ``pareto_front``."""
        return pareto_front(self.trials(), metrics, baselines=baselines)

    def compare(
        self, a: str, b: str, *, split: str | None = None, by: Block | None = None, seed: int = 0
    ) -> pa.Table:
        """Return in a row how far trial ``a`` differs from ``b``; see ``comparison_table``."""
        return comparison_table(self, a, b, split=split, by=by, seed=seed)


def open_results(path: str | Path) -> Results:
    """Open the results of one sweep, or of all sweeps right under a folder.

    The folder is a path, or a URI that ``pyarrow.fs`` knows: ``s3://bucket/sweeps``, ``gs://...``.
    Only the trials are read now, every other table when it is first asked for.

    Raises:
        ResultsError: no such folder, nothing in it that was written by a sweep, or a version of
            results that is newer than this tuneprune.
    """
    results = Results(path)
    if any(results.table(name).num_rows for name in TABLES):
        return results
    remedy = "holds no results yet; name the folder of a sweep or of several"
    place = place_of(results.folder)
    raise ResultsError("results", place, "; ".join([remedy, *results.warnings[:3]]))


def _of_split(rows: pa.Table, split: str) -> pa.Table:
    known = sorted(pc.unique(rows["split"]).to_pylist())
    if known and split not in known:
        raise ResultsError("split", split, f"was not evaluated; there are {', '.join(known)}")
    return rows.filter(pc.equal(rows["split"], split))


def _having(rows: pa.Table, name: str, value: int | str) -> pa.Table:
    known = sorted(pc.unique(rows[name]).to_pylist())
    if known and value not in known:
        raise ResultsError(name, value, f"was not recorded; there are {', '.join(map(str, known))}")
    return rows.filter(pc.equal(rows[name], value))


def _last_step(rows: pa.Table) -> pa.Table:
    return rows.filter(pc.equal(rows["step"], pc.max(rows["step"])))
