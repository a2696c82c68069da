"""Rows of subnets stay apart from those of whole models, and can be asked for by name."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tuneprune.errors import ResultsError
from tuneprune.results.compare import compare_trials
from tuneprune.results.networks import network_name, trial_of
from tuneprune.results.pooled import pool_seeds
from tuneprune.results.reader import open_results
from tuneprune.results.significance import sweep_significance

Run = Callable[..., tuple[int, str, str]]


def test_evaluations_are_of_whole_models_unless_those_of_subnets_are_asked_for(
    supernets: Path,
) -> None:
    results = open_results(supernets)
    assert results.evaluations("t1")["wer"].to_pylist() == [1.0, 0.7, 0.5]
    assert results.evaluations("t1", "dev")["subnet"].null_count == 3
    found = results.evaluations("t1", "dev", by_subnet=True)
    assert found["subnet"].to_pylist() == [2, 4, 2, 4]
    assert found["wer"].to_pylist() == [0.95, 0.9, 0.8, 0.6]
    assert results.evaluations("baseline", by_subnet=True).num_rows == 0
    assert results.curves("t1")["wer"].to_pylist() == [1.0, 0.7, 0.5]


def test_no_row_is_of_a_subnet_and_of_a_language(supernets: Path) -> None:
    with pytest.raises(ResultsError, match="not evaluated by language"):
        open_results(supernets).evaluations(by_language=True, by_subnet=True)


def test_utterances_are_of_the_network_that_is_named(supernets: Path) -> None:
    results = open_results(supernets)
    found = {
        name: results.utterances(name, "test")["substitutions"].to_pylist()
        for name in ("t1", "t1/4", "t1/2")
    }
    assert found == {"t1": [1, 1, 2], "t1/4": [2, 1, 3], "t1/2": [4, 3, 5]}
    assert results.utterances("t1/4", "test", 30)["subnet"].to_pylist() == [4, 4, 4]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("t1/3", "subnet = '3': is not a subnet of t1; there are 4, 2"),
        ("t1/", "subnet = '': is not a subnet of t1; there are 4, 2"),
        ("t1/04", "subnet = '04': is not a subnet of t1; there are 4, 2"),
        ("t3/4", "subnet = '4': is not a subnet of t3; it has none"),
        ("t9/4", "trial = 't9': is not a trial of these results"),
    ],
)
def test_a_subnet_that_is_not_there_ends_in_one_line(
    run: Run, supernets: Path, name: str, said: str
) -> None:
    code, out, err = run("results", "utterances", str(supernets), name)
    assert (code, out) == (2, "")
    assert err.startswith(f"tuneprune: {said}")
    assert err.count("\n") == 1
    assert run("results", "compare", str(supernets), "t1", name)[2] == err


def test_subnets_are_compared_with_each_other_and_with_trials(supernets: Path) -> None:
    results = open_results(supernets)
    within = compare_trials(results, "t1/2", "t1")
    assert (within.wer_a, within.wer_b) == (12 / 40, 4 / 40)
    (row,) = results.compare("t1/4", "t3").to_pylist()
    assert (row["a"], row["wer_a"], row["b"], row["wer_b"]) == ("t1/4", 6 / 40, "t3", 6 / 40)


def test_what_is_said_of_trials_is_of_their_whole_models(supernets: Path) -> None:
    results = open_results(supernets)
    found = {row["trial_id"]: row for row in sweep_significance(results).to_pylist()}
    assert (found["t1"]["wer"], found["t1"]["baseline_wer"]) == (4 / 40, 2 / 40)
    pooled = pool_seeds([results]).to_pylist()
    rates = {row["adaptation.selector.kind"]: row["test_wer"] for row in pooled[:0:-1]}
    assert rates == {"simple_top_k": 4 / 40, "random": 5 / 40, None: 6 / 40}


def test_subnets_can_be_compared_with_the_baseline_of_their_trial(
    run: Run, supernets: Path
) -> None:
    found = sweep_significance(open_results(supernets), subnets=True).to_pylist()
    names = ("trial_id", "dev_wer", "wer", "baseline_wer")
    assert [tuple(row[name] for name in names) for row in found] == [
        ("t2", 0.4, 5 / 40, 2 / 40), ("t2/4", 0.6, 7 / 40, 2 / 40), ("t2/2", 0.8, 13 / 40, 2 / 40),
        ("t1", 0.5, 4 / 40, 2 / 40), ("t1/4", 0.6, 6 / 40, 2 / 40), ("t1/2", 0.8, 12 / 40, 2 / 40),
        ("t3", 0.6, 6 / 40, 2 / 40),
    ]  # fmt: skip
    asked = ("results", "significance", str(supernets), "--subnets")
    code, out, err = run(*asked)
    assert (code, err) == (0, "")
    assert "t1/2" in out
    assert max(map(len, out.splitlines())) <= 100


def test_the_utterances_of_a_subnet_are_read_word_below_word(run: Run, supernets: Path) -> None:
    code, out, err = run("results", "utterances", str(supernets), "t1/2", "--worst", "1")
    assert (code, err) == (0, "")
    assert out.startswith("u3  bob  5 errors in 20 words (5 S, 0 D, 0 I)")


def test_error_rates_of_subnets_can_be_asked_for_on_the_command_line(
    run: Run, supernets: Path
) -> None:
    asked = ("results", "evaluations", str(supernets), "--trial", "t1", "--format", "csv")
    assert len(run(*asked)[1].splitlines()) == 1 + 3
    assert len(run(*asked, "--by-subnet")[1].splitlines()) == 1 + 6


def test_names_say_the_trial_and_the_size() -> None:
    assert [network_name("t1", None), network_name("t1", 16)] == ["t1", "t1/16"]
    assert [trial_of("t1"), trial_of("t1/16")] == ["t1", "t1"]
