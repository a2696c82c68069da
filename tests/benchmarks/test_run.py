"""Every benchmark runs, and the table says what they found. Times are never asserted."""

import importlib
import io

import pytest
from rich.console import Console

NAMES = (
    "step", "compile", "hook", "event", "after_event", "masks", "networks", "subnets", "resets",
    "transducer", "padding", "epoch", "query", "engine", "many", "sharing",
)  # fmt: skip
_RAY = [pytest.mark.ray]
_MARKS = {  # the first only reads its files
    "query": _RAY,
    "engine": [*_RAY, pytest.mark.thorough],
    "many": [*_RAY, pytest.mark.thorough],
    "sharing": [*_RAY, pytest.mark.thorough],
}


@pytest.fixture
def comparing():
    return importlib.import_module("comparing")


@pytest.fixture
def run():
    return importlib.import_module("run")


@pytest.fixture
def compare(comparing):
    """Return a function that makes a comparison from a kind of bar, its limit and both sides."""

    def compared(kind, limit, ours, baseline, unit="seconds"):
        bar = comparing.Bar(kind=kind, limit=limit)
        return comparing.Comparison(
            what="a thing", ours=ours, baseline=baseline, bar=bar, unit=unit
        )

    return compared


def shown(*rows):
    console = Console(width=140, record=True, file=io.StringIO())
    console.print(importlib.import_module("showing").table_of(rows))
    return console.export_text().splitlines()


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=_MARKS.get(n, ())) for n in NAMES],
)
def test_a_benchmark_runs_from_end_to_end(run, capsys, name):
    assert run.main([name, "--tiny"]) == 0
    printed = capsys.readouterr().out.splitlines()
    table = printed[next(n for n, line in enumerate(printed) if line.startswith("what ")) :]
    assert max(map(len, table)) <= 100
    assert table.index("") > 1  # below the title there is a row at least


def test_no_benchmark_is_left_out_here(run):
    assert tuple(run.BENCHMARKS) == NAMES


def test_sides_take_turns_and_warm_ups_are_not_kept(comparing):
    calls = []

    def side(name):
        return lambda: calls.append(name) or float(len(calls))

    taken = comparing.take_turns({"a": side("a"), "b": side("b")}, repeats=2, warmups=1)
    assert "".join(calls) == "ababab"
    assert taken == {"a": [3.0, 5.0], "b": [4.0, 6.0]}


def test_a_bar_is_held_against_the_right_figure(compare):
    ours, baseline = [1.0, 2.0, 4.0], [3.0, 4.0, 6.0]  # baseline over ours: 3, 2, 1.5
    assert compare("faster", 2.0, ours, baseline).met
    assert not compare("faster", 2.1, ours, baseline).met
    assert compare("ratio", 0.5, ours, baseline).met
    assert not compare("ratio", 0.4, ours, baseline).met
    assert compare("value", 2.0, ours, baseline).met
    assert not compare("value", 1.9, ours, baseline).met


def test_ratios_are_of_pairs_so_that_drift_cancels(compare):
    drifting = compare("faster", 2.0, [1.0, 10.0, 100.0], [2.0, 20.0, 200.0])
    assert drifting.ratios.tolist() == [2.0, 2.0, 2.0]


def test_figures_without_a_bar_are_shown_and_not_judged(compare):
    (title, line) = shown(compare("faster", None, [0.25], [0.5]))
    assert title.split()[-1] == "met"
    assert line.split() == ["a", "thing", "250", "ms", "500", "ms", "2.00", "x"]


def test_the_table_shows_figures_units_bars_and_verdicts(compare):
    lines = shown(
        compare("faster", 1.5, [0.25] * 5, [0.375] * 5),
        compare("ratio", 0.01, [2e-5] * 5, [1e-3] * 5),
        compare("value", 0.1, [0.06] * 5, [0.42] * 5, "fraction"),
    )
    assert max(map(len, lines)) <= 100
    assert lines[0].split() == ["what", "ours", "baseline", "ratio", "bar", "met"]
    words = [" ".join(line.split()) for line in lines[1:]]
    assert words == [
        "a thing 250 ±0 ms 375 ±0 ms 1.50 ±0.00 x ≥ 1.5 x yes",
        "a thing 20.0 ±0.0 us 1.00 ±0.00 ms 2.00 ±0.00 % ≤ 1 % no",
        "a thing 6.00 ±0.00 % 42.0 ±0.0 % 0.143 ±0.000 x ≤ 10 % yes",
    ]


def test_what_could_not_be_measured_is_one_line_that_says_why(comparing, compare):
    missing = comparing.Missing(what="a peer", why="its package is not here, " + 20 * "really ")
    lines = shown(compare("ratio", 1.0, [1.0], [1.0]), missing)
    assert len(lines) == 3
    assert lines[2].startswith("a peer: its package is not here, really")
    assert len(lines[2]) <= 100


def test_random_batches_deal_everyone_once_and_pad_more(run):
    (row,) = run.bench_padding.compare(size="quick")
    assert all(0 < ours < random < 1 for ours, random in zip(row.ours, row.baseline, strict=True))


def test_a_benchmark_that_breaks_leaves_the_others_their_rows(run, compare, monkeypatch, capsys):
    def broken(*, size):
        raise RuntimeError("no such library")

    monkeypatch.setitem(run.BENCHMARKS, "hook", broken)
    monkeypatch.setitem(run.BENCHMARKS, "step", lambda size: [compare("ratio", 1.0, [1.0], [1.0])])
    assert run.main(["hook", "step"]) == 1
    captured = capsys.readouterr()
    assert "a thing" in captured.out
    assert "could not be run: hook" in captured.out
    assert "no such library" in captured.err


def test_an_unknown_name_is_refused_with_those_there_are(run, capsys):
    with pytest.raises(SystemExit):
        run.main(["speed"])
    assert "'speed' is none of step, compile, hook" in capsys.readouterr().err
