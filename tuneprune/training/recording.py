"""From what happens in a run to rows of the results tables. Only rank 0 has a writer."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from tuneprune.adaptation import AdaptationEvent, Event, GroupFate, MaskEvent, SupernetEvent
from tuneprune.data.corpus import Split
from tuneprune.results.writer import TableWriter
from tuneprune.structure.groups import PrunableModule
from tuneprune.structure.layer_churn import LayerChurn
from tuneprune.training.evaluate import Evaluation
from tuneprune.training.recovery import Recovery
from tuneprune.training.wer import UtteranceErrors, sum_errors


class Recorder:
    """Writes the rows of one run; without a writer it does nothing."""

    def __init__(self, writer: TableWriter | None) -> None:
        self._writer = writer

    def step(self, step: int, **columns: float | int) -> None:
        self._add("steps", step, columns)

    def evaluation(self, step: int, epoch: float, result: Evaluation) -> None:
        """Write the row of a split, and where it has several languages a row for each.

        Of a subnet there is one row, without the time that all subnets took together.
        """
        known = {"split": result.split, "epoch": epoch, "subnet": result.subnet}
        is_model = result.subnet is None
        eval_s = result.eval_s if is_model else None
        whole = {"wer": result.wer, "cer": result.cer, "loss": result.loss, "eval_s": eval_s}
        self._add("evaluations", step, known | whole | _word_counts(sum_errors(result.errors)))
        for one in result.by_language if is_model and len(result.by_language) > 1 else ():
            rates = {"language": one.language, "wer": one.wer, "cer": one.cer}
            self._add("evaluations", step, known | rates | _word_counts(one.errors))
        self.flush()

    def utterances(self, step: int, split: Split, result: Evaluation) -> None:
        for index, (hypothesis, errors) in enumerate(
            zip(result.hypotheses, result.errors, strict=True)
        ):
            self._add(
                "utterances",
                step,
                {
                    "split": result.split,
                    "subnet": result.subnet,
                    "utterance_id": split.ids[index],
                    "speaker": split.speakers[index],
                    "language": split.languages[index],
                    "reference": split.texts[index],
                    "hypothesis": hypothesis,
                    "num_ref_words": errors.num_ref_words,
                    "substitutions": errors.substitutions,
                    "deletions": errors.deletions,
                    "insertions": errors.insertions,
                    "num_ref_chars": errors.num_ref_chars,
                    "char_errors": errors.char_errors,
                },
            )
        self.flush()

    def allocation(self, step: int, modules: tuple[PrunableModule, ...]) -> None:
        for module in modules:
            self._add(
                "allocations",
                step,
                {
                    "layer": module.layer,
                    "kind": module.kind,
                    "groups": len(module.groups),
                    "params": module.params,
                },
            )

    def event(
        self,
        event: Event,
        *,
        loss_before: float | None,
        event_s: float,
        multiply_adds_per_s_before: int,
        multiply_adds_per_s_after: int,
        per_s: Callable[[int], int],
    ) -> None:
        """Write the row of an event, and what it has decided by or made.

        Args:
            event: of a built-in method or a plug-in's.
            loss_before: of the step before; None: there was none.
            event_s: wall time.
            multiply_adds_per_s_before: cost of the model, for a second of audio.
            multiply_adds_per_s_after: likewise.
            per_s: from multiply-adds for an encoder frame to those for a second of audio.
        """
        known = {
            "event": event.event,
            "multiply_adds_per_s_before": multiply_adds_per_s_before,
            "multiply_adds_per_s_after": multiply_adds_per_s_after,
            "loss_before": loss_before,
            "event_s": event_s,
            "plan_fingerprint": event.plan.fingerprint(),
        }
        assert isinstance(event, AdaptationEvent | MaskEvent | SupernetEvent)
        own = _own_columns(event)
        both = {"method": event.method, "scorer": event.scorer}
        self._add("adaptations", event.step, known | both | own)
        if isinstance(event, MaskEvent):
            for row in event.rows:
                self._add("masks", event.step, {"event": event.event, **asdict(row)})
        elif isinstance(event, SupernetEvent):
            for module in event.rows:
                columns = asdict(module)
                macs = per_s(columns.pop("frame_macs"))
                place = {"event": event.event, "multiply_adds_per_s": macs}
                self._add("subnets", event.step, place | columns)
        else:
            self._scores(event, event.scorer, event.groups, applied=True)
            for scorer, groups in event.watched.items():
                self._scores(event, scorer, groups, applied=False)
        self.flush()

    def round(
        self,
        step: int,
        outcome: Mapping[str, Any],
        clients: Sequence[Mapping[str, Any]],
        **columns: float | int,
    ) -> None:
        """Write the rows of a round of a federated run and of its clients.

        Args:
            step: finished rounds.
            outcome: columns that its clients decide.
            clients: a row for each.
            columns: of the round, all others.
        """
        self._add("rounds", step, {**outcome, **columns})
        for row in clients:
            self._add("clients", step, row)

    def recovery(self, step: int, recovery: Recovery) -> None:
        self._add("recoveries", step, asdict(recovery))
        self.flush()

    def churn(self, step: int, rows: Sequence[LayerChurn], *, before_event: bool) -> None:
        for row in rows:
            self._add("churn", step, {"before_event": before_event, **asdict(row)})
        self.flush()

    def flush(self) -> None:
        if self._writer is not None:
            self._writer.flush()

    def _scores(
        self, event: AdaptationEvent, scorer: str, groups: Sequence[GroupFate], *, applied: bool
    ) -> None:
        for group in groups:
            self._add(
                "group_scores",
                event.step,
                {
                    "event": event.event,
                    "scorer": scorer,
                    "applied": applied,
                    "group_id": group.group_id,
                    "origin": group.origin,
                    "layer": group.layer,
                    "kind": group.kind,
                    "group_index": group.index,
                    "score": group.score,
                    "params": group.params,
                    "fate": group.fate,
                },
            )

    def _add(self, table: str, step: int, columns: Mapping[str, Any]) -> None:
        if self._writer is not None:
            self._writer.add(table, step=step, **columns)


def _own_columns(event: AdaptationEvent | MaskEvent | SupernetEvent) -> dict[str, Any]:
    if isinstance(event, SupernetEvent):  # the model stays what it is
        nothing = ("dropped_groups", "grown_groups", "dropped_params", "grown_params")
        params = dict.fromkeys(("params_before", "params_after"), event.params)
        return {"decision": event.plan.decision, **params, **dict.fromkeys(nothing, 0)}
    counts = ("dropped_params", "grown_params", "params_before", "params_after")
    both = {name: getattr(event, name) for name in counts}
    if isinstance(event, MaskEvent):
        return both | {
            "decision": event.plan.decision,
            "sparsity": event.plan.sparsity,
            "language": event.language,
            "dropped_groups": event.removed_blocks,
            "grown_groups": event.revived_blocks,
        }
    return both | {
        "delta": event.delta,
        "new_groups": event.new_groups,
        "dropped_groups": len(event.plan.dropped),
        "grown_groups": len(event.plan.grown),
    }


def _word_counts(errors: UtteranceErrors) -> dict[str, int]:
    return {
        "substitutions": errors.substitutions,
        "deletions": errors.deletions,
        "insertions": errors.insertions,
        "num_ref_words": errors.num_ref_words,
    }
