"""What is printed says what the tables hold: formats by column, text as it is, 100 columns."""

import json
import shlex
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pytest
import yaml
from rich.console import Console

from tuneprune.models.describe import describe_model
from tuneprune.results.reader import open_results
from tuneprune.results.writer import TableWriter
from tuneprune.show import (
    allocation_yaml,
    describe_table,
    print_answer,
    print_reasons,
    print_run,
    print_table,
    ranked_trials,
    trial_columns,
    without_common,
)
from tuneprune.structure.groups import Allocation
from tuneprune.testing.tones import tone_config
from tuneprune.training.run import RunSummary

MARKUP = "got shape [batch, 3], not [/bold]"

Write = Callable[..., None]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Return a function that writes a trial; with an ``event_step``, one that adapted."""

    def write_trial(
        trial_id: str,
        *,
        status: str = "finished",
        dev_wer: float | None = None,
        settings: dict[str, object] | None = None,
        baseline: bool = False,
        event_step: int | None = None,
        **columns: object,
    ) -> None:
        with TableWriter(tmp_path, sweep_id="s", trial_id=trial_id, attempt=0, seed=3) as writer:
            counts = {"substitutions": 1, "deletions": 0, "insertions": 0, "num_ref_words": 2}
            writer.add("evaluations", step=10, split="held-out", wer=0.5, **counts)
            writer.add("allocations", step=0, layer=0, kind="ff1", groups=4, params=40)
            if event_step is not None:
                counts = dict.fromkeys(("dropped_groups", "grown_groups"), 1)
                counts |= dict.fromkeys(("dropped_params", "grown_params"), 10)
                writer.add(
                    "adaptations", step=event_step, event=0, method="grow_drop", params_before=40,
                    params_after=40, plan_fingerprint="f0", **counts,
                )  # fmt: skip
            writer.add(
                "trials", step=10, status=status, is_baseline=baseline, dev_wer=dev_wer,
                settings=json.dumps(settings or {}),
                config=json.dumps({"corpus": {"dev_split": "held-out"}}), **columns,
            )  # fmt: skip

    return write_trial


def ids(table: pa.Table) -> list[str]:
    names: list[str] = table["trial_id"].to_pylist()
    return names


def test_columns_of_ours_are_shown_in_the_units_people_use(
    capsys: pytest.CaptureFixture[str],
) -> None:
    began = datetime(2026, 3, 14, 9, 26).timestamp()
    row = {"dev_wer": 0.1234, "params": 1234567, "train_s": 3725.0, "started_s": began, "x": None}
    print_table(pa.Table.from_pylist([row]), "text", 100)
    values = capsys.readouterr().out.splitlines()[1].split("  ")
    shown = ["12.3 %", "1,234,567", "1 h 02 min", "2026-03-14 09:26", "-"]
    assert [value.strip() for value in values if value.strip()] == shown


def test_an_answer_is_shown_as_it_is_whatever_its_columns_are_called(
    capsys: pytest.CaptureFixture[str],
) -> None:
    row = {"dev_wer": 12.3456789, "n.params": 1234567, "power": 600.0, "train_s": True, "l": [0.1]}
    print_answer(pa.Table.from_pylist([row]), "text", 100)
    names, values = (line.split() for line in capsys.readouterr().out.splitlines())
    assert names == ["dev_wer", "n.params", "power", "train_s", "l"]
    assert values == ["12.3457", "1234567", "600", "true", "[0.1]"]


@pytest.mark.parametrize("table_format", ["text", "json", "csv"])
def test_what_looks_like_markup_is_printed(
    capsys: pytest.CaptureFixture[str], table_format: str
) -> None:
    table = pa.table({"[reason]": [MARKUP]})
    print_answer(table, table_format, 100)
    out = capsys.readouterr().out
    assert MARKUP in out
    assert "[reason]" in out


def test_markdown_shows_what_text_shows(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(pa.table({"trial_id": ["t1"], "dev_wer": [0.25]}), "markdown", 100)
    assert capsys.readouterr().out.splitlines()[-1] == "| t1 | 25.0 % |"


def test_raw_values_go_to_other_programs(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(pa.table({"dev_wer": [0.123456789012]}), "json", 100)
    assert json.loads(capsys.readouterr().out) == [{"dev_wer": 0.123456789012}]


def test_only_searched_settings_lose_their_path_and_only_if_nothing_is_hidden(
    capsys: pytest.CaptureFixture[str],
) -> None:
    names = ["adaptation.delta", "a.kind", "b.kind", "model.status", "status", "not.searched"]
    table = pa.table({name: [1] for name in names})
    print_table(table, "text", 100, searched=names[:4])
    header = capsys.readouterr().out.splitlines()[0].split()
    assert header == ["delta", "a.kind", "b.kind", "model.status", "status", "not.searched"]


def test_trials_are_ranked_by_the_dev_rate_and_failed_ones_come_last(
    tmp_path: Path, write: Write
) -> None:
    write("t1", dev_wer=0.5)
    write("t2", dev_wer=0.2)
    write("t3", status="failed", dev_wer=0.0)
    write("t4", status="running")
    write("t5", status="diverged", dev_wer=0.1)
    write("t6", status="finished")
    write("t0", dev_wer=0.5)
    ranked = ranked_trials(open_results(tmp_path))
    assert ids(ranked) == ["t2", "t0", "t1", "t6", "t4", "t5", "t3"]


def test_violations_and_replicates_are_shown_where_there_are_any(
    tmp_path: Path, write: Write
) -> None:
    write("t1", dev_wer=0.5)
    write("t2", dev_wer=0.4)
    results = open_results(tmp_path)
    shown = trial_columns(results, ranked_trials(results)).column_names
    assert not {"violated", "replicate_of", "seed"} & set(shown)
    write("t3", dev_wer=0.1, violated="params <= 3")
    write("t4", dev_wer=0.6, replicate_of="t1")
    shown = trial_columns(results, ranked_trials(results))
    assert ids(shown) == ["t2", "t1", "t4", "t3"]
    assert shown["violated"].to_pylist() == [None, None, None, "params <= 3"]
    assert shown["replicate_of"].to_pylist() == [None, None, "t1", None]
    assert shown["seed"].to_pylist() == [3, 3, 3, 3]


def test_why_trials_did_not_finish_is_said_on_a_line_each(
    tmp_path: Path, write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    write("t1", dev_wer=0.5, reason="not said of what finished")
    write("t2", status="failed", reason=f"{MARKUP}\n{'long ' * 40}")
    write("t3", status="stopped", reason="interrupted")
    write("t4", status="running")
    ranked = ranked_trials(open_results(tmp_path))
    print_reasons(ranked, "text", 60)
    gap, stopped, failed = capsys.readouterr().out.splitlines()
    assert (gap, stopped) == ("", "t3 stopped: interrupted")
    assert failed.startswith(f"t2 failed: {MARKUP} long")
    assert len(failed) <= 60
    print_reasons(ranked, "markdown", 60)
    assert "- t3 stopped: interrupted" in capsys.readouterr().out.splitlines()
    print_reasons(ranked, "json", 60)
    assert capsys.readouterr().out == ""


def test_trials_show_what_was_searched_also_the_seed(tmp_path: Path, write: Write) -> None:
    write("t1", dev_wer=0.5, settings={"seed": 3, "adaptation.delta": 0.1})
    results = open_results(tmp_path)
    shown = trial_columns(results, results.best("setup_s"), "setup_s").column_names
    assert shown == [
        "trial_id", "is_baseline", "adaptation.delta", "seed", "status", "setup_s", "dev_wer",
        "test_wer", "params", "train_s",
    ]  # fmt: skip
    for metric in ("dev_wer", "params", "seed"):
        columns = trial_columns(results, results.trials(), metric).column_names
        assert len(columns) == len(set(columns)) == 9


def test_trials_of_several_sweeps_are_told_apart(tmp_path: Path, write: Write) -> None:
    write("t1")
    with TableWriter(tmp_path, sweep_id="s2", trial_id="t1", attempt=0, seed=1) as writer:
        writer.add("trials", step=0, status="running", is_baseline=False, settings="{}")
    results = open_results(tmp_path)
    assert trial_columns(results, results.trials())["sweep_id"].to_pylist() == ["s", "s2"]


def test_a_comparison_fits_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    numbers = {"wer_a": 0.2, "wer_b": 0.3, "difference": -0.1, "low": -0.3, "high": 0.1}
    numbers |= {"probability_of_improvement": 0.75, "segments": 123, "z": -2.345, "p": 0.0004}
    row = pa.Table.from_pylist([{"a": "t01", "b": "t00", **numbers}])
    print_table(row, "text", 100)
    *names, values = capsys.readouterr().out.splitlines()
    assert " ".join(names).split()[-11:-5] == ["a", "b", "wer_a", "wer_b", "difference", "low"]
    assert values.split() == [
        "t01", "t00", "20.0", "%", "30.0", "%", "-10.0", "-30.0", "+10.0", "75.0", "%", "123",
        "-2.35", "<0.001",
    ]  # fmt: skip


def test_an_allocation_is_yaml_with_a_line_a_block() -> None:
    counts = {(0, "ff1"): 4, (0, "mhsa"): 0, (1, "ff1"): 1, (1, "mhsa"): 12}
    text = allocation_yaml(Allocation(counts=counts))
    assert text.splitlines() == ["blocks:", "- {ff1: 4, mhsa: 0}", "- {ff1: 1, mhsa: 12}"]
    assert Allocation.from_json(yaml.safe_load(text)).counts == counts


def test_a_description_has_costs_and_the_groups_of_a_model_that_is_not_uniform(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    uneven = (
        "model.allocation=[{ff1: 9, conv: 0, mhsa: 2, ff2: 4}, {ff1: 4, conv: 4, mhsa: 2, ff2: 4}]"
    )
    shown = []
    for overrides in ((), (uneven,)):
        config = tone_config(tmp_path, *overrides)
        description = describe_model(config, num_labels=6, num_labels_from="option")
        Console(width=100).print(describe_table(description))
        shown.append([line.split() for line in capsys.readouterr().out.splitlines()])
    plain, uneven_lines = shown
    # By hand: 8 hidden units of width 16, to and from: 2 * 8 * 16, and their biases.
    row = ["ff1", "1,104", "4", "276", "264", "256"]
    assert plain[1] == uneven_lines[1] == row
    assert ["conformer,", "2", "such", "blocks,", "28", "groups"] in plain
    assert ["conformer,", "2", "blocks,", "29", "groups"] in uneven_lines
    assert ["0", "9", "0", "2", "4"] in uneven_lines
    assert not [line for line in plain if line[:1] == ["block"]]


def test_the_command_after_a_run_can_be_copied(
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = Path("results") / "my run [1]" / ("long" * 25)
    summary = RunSummary(
        status="diverged", step=3, total_steps=9, best_step=0, dev_wer=1.0, dev_cer=1.0,
        test_wer=1.0, test_cer=1.0, params=10, prunable_params=5, multiply_adds_per_s=2000,
        unrecovered_events=1, train_s=1.0, setup_s=1.0, left_out_utterances=0, checkpoint="",
        real_time_factor=0.25,
    )  # fmt: skip
    print_run(summary, folder, Console(width=100))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "diverged: the loss was not finite after step 3"
    assert lines[1].startswith("10 parameters, 2,000 multiply-adds a second of speech")
    assert any("did not come back" in line and " 1 " in line for line in lines)
    program, *_, command, verb, shown = shlex.split(lines[-1])
    assert program != "results"
    assert (command, verb, shown) == ("results", "show", str(folder))


def test_a_run_with_subnets_says_how_they_did_and_where_each_is(
    capsys: pytest.CaptureFixture[str],
) -> None:
    summary = RunSummary(
        status="finished", step=9, total_steps=9, best_step=9, dev_wer=0.1, dev_cer=0.05,
        test_wer=0.2, test_cer=0.15, params=10, prunable_params=5, multiply_adds_per_s=2000,
        unrecovered_events=0, train_s=1.0, setup_s=1.0, left_out_utterances=0, checkpoint="",
        real_time_factor=0.25, dev_subnets_wer=0.3, dev_subnets_cer=0.25, test_subnets_wer=0.4,
        test_subnets_cer=0.35,
    )  # fmt: skip
    print_run(summary, Path("out"), Console(width=100))
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "dev, mean of subnets 30.0 % 25.0 %" in lines
    assert "test, mean of subnets 40.0 % 35.0 %" in lines
    assert lines[-1].endswith("results subnets out")


def test_what_all_rows_share_fits_the_terminal() -> None:
    table = pa.table({f"setting{n}": ["x" * 20] * 2 for n in range(6)})
    rest, said = without_common(table, table.column_names, 100)
    assert rest.column_names == []
    assert said.startswith("the same in all rows: setting0 xxx")
    assert max(map(len, said.splitlines())) <= 100
