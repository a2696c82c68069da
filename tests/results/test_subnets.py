"""What subnets cost, get wrong and keep, worked out by hand of a model of eight modules.

Modules have 100 (ff1), 50 (conv), 80 (mhsa) and 100 (ff2) parameters in each of two blocks, the
model 1000. The first four of the last ranking, 0.ff1, 1.mhsa, 0.conv and 0.ff2, have 330; the first
two have 180. See supernet_rows.py.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from supernet_rows import LAST

from tuneprune.errors import ResultsError
from tuneprune.results import compact
from tuneprune.results.reader import open_results

Run = Callable[..., tuple[int, str, str]]


def columns(table: pa.Table, *names: str) -> list[tuple[Any, ...]]:
    return list(zip(*(table[name].to_pylist() for name in names), strict=True))


def test_a_subnet_costs_what_the_model_does_less_what_it_leaves_out(supernets: Path) -> None:
    found = open_results(supernets).subnets("t1")
    assert columns(found, "subnet", "modules", "params", "multiply_adds_per_s", "share") == [
        (None, 8, 1000, 10_000, 1.0),
        (4, 4, 1000 - (660 - 330), 6700, 0.67),
        (2, 2, 1000 - (660 - 180), 5200, 0.52),
    ]


def test_error_rates_are_those_of_the_best_step(supernets: Path) -> None:
    found = open_results(supernets).subnets("t1")
    assert columns(found, "dev_wer", "dev_cer", "test_wer", "test_cer") == [
        (0.5, 0.25, 0.1, 0.05), (0.6, 0.3, 0.15, 0.075), (0.8, 0.4, 0.3, 0.15),
    ]  # fmt: skip


def test_trials_come_with_their_seeds_and_settings_those_without_subnets_do_not(
    supernets: Path,
) -> None:
    found = open_results(supernets).subnets()
    kind = "adaptation.selector.kind"
    assert found.column_names[:5] == ["sweep_id", "trial_id", "seed", kind, "subnet"]
    assert columns(found, "trial_id", "seed", kind, "subnet") == [
        *(("t1", 1, "simple_top_k", size) for size in (None, 4, 2)),
        *(("t2", 1, "random", size) for size in (None, 4, 2)),
    ]
    assert open_results(supernets).subnets("t3").num_rows == 0


def test_before_there_is_a_best_step_the_last_subnets_have_sizes_alone(
    tmp_path: Path, supernet_writer: Callable[..., None]
) -> None:
    supernet_writer("t1", best_step=None, status="running", params=None)
    found = open_results(tmp_path).subnets("t1")
    assert columns(found, "subnet", "params", "share", "dev_wer") == [
        (None, None, None, 0.5), (4, None, None, None), (2, None, None, None),
    ]  # fmt: skip


def test_a_best_step_of_the_first_stage_has_the_subnet_of_that_time(
    tmp_path: Path, supernet_writer: Callable[..., None]
) -> None:
    rates = {(10, "dev", 6): 0.7, (20, "dev", 4): 0.6, (20, "dev", 2): 0.8}
    supernet_writer("t1", best_step=10, networks={"rates": rates})
    found = open_results(tmp_path).subnets("t1")
    # Of the first ranking 0.ff2 and 1.conv are left out.
    assert columns(found, "subnet", "params", "dev_wer", "test_wer") == [
        (None, 1000, 0.5, 0.1), (6, 850, 0.7, None),
    ]  # fmt: skip


def test_modules_are_in_the_order_of_the_last_ranking(supernets: Path) -> None:
    found = open_results(supernets).subnets("t1", by="module")
    named = [f"{layer}.{kind}" for layer, kind in columns(found, "layer", "kind")]
    assert named == LAST.split()
    assert found["rank"].to_pylist() == list(range(8))
    assert found["gate"].to_pylist() == [1 - rank / 8 for rank in range(8)]
    assert found["subnet"].to_pylist() == [2, 2, 4, 4, None, None, None, None]
    assert found["params"].to_pylist()[:4] == [100, 80, 50, 100]


@pytest.mark.parametrize(("step", "event", "kept"), [(5, 0, 6), (9, 0, 6), (10, 1, 4), (99, 2, 4)])
def test_modules_stand_as_the_last_event_up_to_a_step_left_them(
    supernets: Path, step: int, event: int, kept: int
) -> None:
    found = open_results(supernets).subnets("t1", by="module", step=step)
    assert set(found["event"].to_pylist()) == {event}
    assert 8 - found["subnet"].null_count == kept


def test_events_say_what_came_into_the_smallest_subnet_and_what_it_lost(supernets: Path) -> None:
    found = open_results(supernets).subnets("t1", by="event")
    names = ("event", "step", "decision", "subnets", "modules", "params", "entered", "left")
    assert columns(found, *names) == [
        (0, 5, "shrink", "6", 6, 510, 0, 2),
        (1, 10, "shrink", "4", 4, 330, 1, 3),
        (2, 15, "switch", "4, 2", 2, 180, 0, 2),
    ]
    assert found["share"].to_pylist() == [510 / 660, 0.5, 180 / 660]
    assert open_results(supernets).subnets("t1", by="event", step=10).num_rows == 2
    assert open_results(supernets).subnets("t1", by="event", step=4).num_rows == 0


def test_it_is_the_same_from_compacted_tables(supernets: Path) -> None:
    results = open_results(supernets)
    before = [results.subnets(by=by) for by in ("subnet", "module", "event")]
    list(compact(supernets))
    again = open_results(supernets)
    assert [again.subnets(by=by) for by in ("subnet", "module", "event")] == before


def test_a_size_that_the_ranking_does_not_have_is_refused(
    tmp_path: Path, supernet_writer: Callable[..., None]
) -> None:
    supernet_writer("t1", networks={"events": [(5, "switch", (9,), LAST)]})
    with pytest.raises(ResultsError, match="subnet = 't1/9': keeps 8 modules at event 0"):
        open_results(tmp_path).subnets("t1")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("t9",), "trial = 't9': is not a trial of these results"),
        (("t1", "--step", "5"), "step = 5: is of --by module and --by event alone"),
    ],
)
def test_what_can_not_be_answered_is_said_in_one_line(
    run: Run, supernets: Path, arguments: tuple[str, ...], said: str
) -> None:
    code, out, err = run("results", "subnets", str(supernets), *arguments)
    assert (code, out) == (2, "")
    assert err.startswith(f"tuneprune: {said}")
    assert err.count("\n") == 1


def test_people_read_of_each_network_what_it_is(run: Run, supernets: Path) -> None:
    code, out, err = run("results", "subnets", str(supernets), "t1")
    lines = out.splitlines()
    assert (code, err) == (0, "")
    assert lines[1].split()[:4] == ["kind", "subnet", "modules", "params"]
    assert [line.split()[1:4] for line in lines[2:5]] == [
        ["all", "8", "1,000"], ["4", "4", "670"], ["2", "2", "520"],
    ]  # fmt: skip
    assert "sweep_id s, trial_id t1, seed 1" in out
    assert max(map(len, lines)) <= 100


@pytest.mark.parametrize("by", ["subnet", "module", "event"])
def test_each_view_fits_the_terminal_and_other_formats_have_raw_values(
    run: Run, supernets: Path, by: str
) -> None:
    code, out, err = run("results", "subnets", str(supernets), "--by", by)
    assert (code, err) == (0, "")
    assert max(map(len, out.splitlines())) <= 100
    raw = json.loads(run("results", "subnets", str(supernets), "--by", by, "--format", "json")[1])
    assert raw == open_results(supernets).subnets(by=by).to_pylist()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("t3",), "t3 has no subnets"),
        (("t1", "--by", "module", "--step", "4"),
         "t1 had no subnets after step 4; the first came at step 5"),
        (("--by", "event", "--step", "4"),
         "no trial had subnets after step 4; the first came at step 5"),
    ],
)  # fmt: skip
def test_where_there_are_no_subnets_it_is_said(
    run: Run, supernets: Path, arguments: tuple[str, ...], said: str
) -> None:
    assert run("results", "subnets", str(supernets), *arguments)[:2] == (0, f"{said}\n")
