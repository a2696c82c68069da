"""A dry run says what trials share, what they take and how long, as far as it is known."""

import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from tuneprune.distributed.cluster import NodeResources
from tuneprune.errors import ConfigError
from tuneprune.sweep import dry_run as module
from tuneprune.sweep.dry_run import DryRun, dry_run
from tuneprune.sweep.dry_run_screen import render_dry_run
from tuneprune.sweep.space import Space, build_space
from tuneprune.testing.tones import make_tone_corpus, tone_config
from tuneprune.training.prepare import prepare, total_steps

STUDY = {
    "scorer": ["taylor", "gradient"],
    "at_steps": [[6], [8], [6, 10]],
    "delta": [0.2, 0.4],
}
FRACTIONS = {"at": [0.25, 0.5], "delta": [0.1, 0.2]}


@pytest.fixture(autouse=True)
def _two_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "this_machine", lambda: NodeResources(cpus=2.0, gpus=0.0))


def grid(corpus: Path, fields: dict[str, list[Any]], *overrides: str) -> Space:
    shared = {} if "scorer" in fields else {"adaptation.scorer": "taylor"}
    return build_space(
        {
            "name": "tones",
            "question": "Which delta, when, by which score?",
            "base": tone_config(corpus, *overrides).model_dump(mode="json"),
            "search": {
                "sampler": {"kind": "grid"},
                "set": {
                    "adaptation.method": "grow_drop",
                    "adaptation.score_every_steps": 1,
                    **shared,
                },
                "space": {f"adaptation.{name}": {"choice": one} for name, one in fields.items()},
            },
        }
    )


def screen(plan: DryRun) -> list[str]:
    console = Console(width=100, file=io.StringIO())
    console.print(render_dry_run(plan))
    return [line.rstrip() for line in console.file.getvalue().splitlines()]  # type: ignore[attr-defined]


def shown_tree(plan: DryRun) -> list[str]:
    """Return the lines about sharing, disk and time."""
    lines = screen(plan)
    first = next(i for i, line in enumerate(lines) if line.startswith("what "))
    return lines[first : lines.index("", first)]


def test_a_grid_of_thirteen_trials_is_counted_in_steps_and_fits_a_screen(tmp_path: Path) -> None:
    make_tone_corpus(tmp_path)
    space = grid(tmp_path, STUDY)
    plan = dry_run(space)
    assert not (tmp_path / "features").exists()
    total = total_steps(space.base, prepare(space.base))
    assert total > 10
    most = total + 4 * (total - 6) + 4 * (total - 8) + 4 * 4 + 4 * (total - 10)
    least = total + 2 * (total - 6) + 2 * (total - 8) + 2 * 4 + 2 * (total - 10)
    asked = 13 * total
    assert shown_tree(plan)[:7] == [
        f"what 13 runs of about {total} steps share:",
        "  t00-t12: one run until an event",
        "    step 6: 8 trials go on in 4 to 8 ways",
        "    step 8: 4 trials go on in 2 to 4 ways",
        "    step 10, 2nd event: 4 trials go on in 2 to 4 ways",
        f"asked for {asked} steps, trained at most {most} steps ({100 * most / asked:.0f} %)",
        f"  {least} steps ({100 * least / asked:.0f} %) if equal times and delta move equal groups",
    ]
    lines = screen(plan)
    assert len(lines) <= 48
    assert max(map(len, lines)) <= 100
    assert lines[-1] == "ready"


def test_without_a_corpus_it_is_counted_in_runs(tmp_path: Path) -> None:
    plan = dry_run(grid(tmp_path / "none", FRACTIONS), step_time_s=1.0)
    lines = shown_tree(plan)
    assert lines[:5] == [
        "what 5 runs share:",
        "  t00-t04: one run until an event",
        "    0.25 of a run: 2 trials go on in 2 ways",
        "    0.5 of a run: 2 trials go on in 2 ways",
        "asked for 5 runs, trained at most 3.5 runs (70 %)",  # 1 + 2 x 0.75 + 2 x 0.5
    ]
    assert lines[-1] == "time: without the corpus, not even steps are known"


def test_steps_of_events_say_nothing_without_a_corpus(tmp_path: Path) -> None:
    plan = dry_run(grid(tmp_path / "none", STUDY))
    assert plan.sharing.tree is None
    assert "times are given in steps" in shown_tree(plan)[0]


def test_events_beyond_the_end_are_refused(tones: Path) -> None:
    space = grid(tones, {"at_steps": [[6], [5000]], "delta": [0.1]})
    total = total_steps(space.base, prepare(space.base))
    field = r"search\.space\.adaptation\.at_steps = \[5000\]"
    with pytest.raises(ConfigError, match=rf"{field}: must be below {total}, the steps"):
        dry_run(space)


def test_a_corpus_that_can_not_be_trained_on_so_is_a_problem(tmp_path: Path) -> None:
    make_tone_corpus(tmp_path)
    space = grid(tmp_path, FRACTIONS, "corpus.train_split=none")
    plan = dry_run(space)
    assert not plan.ready
    assert any("corpus.train_split = 'none'" in line for line in plan.inputs)


def test_without_sharing_all_is_trained_and_no_stage_is_kept(tones: Path) -> None:
    plan = dry_run(grid(tones, FRACTIONS), share_stages=False).sharing
    assert plan.tree is not None
    assert plan.tree.most.steps == plan.tree.least.steps == plan.tree.asked
    assert plan.stages_bytes == 0


def test_hours_are_steps_at_a_measured_pace_on_what_runs_at_once(tones: Path) -> None:
    space = grid(tones, FRACTIONS)
    plan = dry_run(space, step_time_s=100.0)
    total = total_steps(space.base, prepare(space.base))
    quarter, half = round(total / 4), round(total / 2)
    steps = total + 2 * (total - quarter) + 2 * (total - half)
    minutes, seconds = divmod(round(steps * 100 / 2), 60)
    hours, minutes = divmod(minutes, 60)
    written = f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {seconds:02d} s"
    assert shown_tree(plan)[-1] == (
        f"time: {written}, 2 at once, at 100 s a step; evaluations come on top"
    )
    assert "--step-time SECONDS" in shown_tree(dry_run(space))[-1]


def test_a_sweep_takes_no_less_than_its_longest_run(
    tones: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "this_machine", lambda: NodeResources(cpus=64.0, gpus=0.0))
    space = grid(tones, FRACTIONS)
    total = total_steps(space.base, prepare(space.base))
    line = shown_tree(dry_run(space, step_time_s=60.0))[-1]
    assert line.startswith(f"time: {total} min 00 s, 64 at once")


def test_too_little_room_for_stages_is_said(tones: Path) -> None:
    space = grid(tones, FRACTIONS)
    assert not any("--stages-gb" in line for line in shown_tree(dry_run(space, stages_gb=50.0)))
    assert any("--stages-gb 0 allows" in line for line in shown_tree(dry_run(space, stages_gb=0)))


def test_trunks_of_one_shape_are_shown_once(tones: Path) -> None:
    settings = grid(tones, FRACTIONS).resolved()
    settings["search"]["space"]["seed"] = {"choice": [1, 2, 3]}
    settings["search"]["space"] = dict(reversed(settings["search"]["space"].items()))
    plan = dry_run(build_space(settings))
    tree = plan.sharing.tree
    assert tree is not None
    shapes = {(trunk.total_steps, trunk.forks) for trunk in tree.trunks}
    assert (len(tree.trunks), len(plan.runs)) == (3, 15)
    lines = shown_tree(plan)
    assert sum("one run until an event" in line for line in lines) == len(shapes)
    assert sum("trials go on" in line for line in lines) == 2 * len(shapes)


def test_of_a_sampler_more_runs_are_counted_than_shown(tones: Path) -> None:
    settings = grid(tones, FRACTIONS).resolved()
    settings["search"] |= {"sampler": {"kind": "random", "seed": 1}, "trials": 100}
    settings["search"]["space"]["adaptation.delta"] = {"uniform": [0.1, 0.4]}
    plan = dry_run(build_space(settings))
    assert len(plan.runs) == 6
    assert plan.sharing.counted == 41
    assert shown_tree(plan)[0].startswith("what 41 runs (the first 41 of 101) of about ")
    small = plan.sharing.checkpoint_bytes / 101
    assert small == pytest.approx(dry_run(grid(tones, FRACTIONS)).sharing.checkpoint_bytes / 5)
