"""Questions to a sweep, with answers known from what was written."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tuneprune.errors import ResultsError
from tuneprune.results.reader import open_results

WriteTrial = Callable[..., None]


def test_best_ranks_finished_trials_by_a_metric_and_ties_by_name(
    tmp_path: Path, trial_writer: WriteTrial
) -> None:
    trial_writer("t4", dev_wer=0.3)
    trial_writer("t1", dev_wer=0.4)
    trial_writer("t2", dev_wer=0.3)
    trial_writer("t3", dev_wer=0.1, status="failed")
    trial_writer("t5", dev_wer=float("nan"))
    trial_writer("t6", dev_wer=None)
    results = open_results(tmp_path)
    assert results.best(k=9)["trial_id"].to_pylist() == ["t2", "t4", "t1"]
    assert results.best()["trial_id"].to_pylist() == ["t2"]


def test_best_can_leave_the_baselines_out(tmp_path: Path, trial_writer: WriteTrial) -> None:
    trial_writer("baseline", dev_wer=0.2)
    trial_writer("t1", dev_wer=0.3)
    results = open_results(tmp_path)
    assert results.best(k=9)["trial_id"].to_pylist() == ["baseline", "t1"]
    assert results.best(k=9, baselines=False)["trial_id"].to_pylist() == ["t1"]


def test_searched_settings_are_columns_of_trials_also_the_seed(
    tmp_path: Path, trial_writer: WriteTrial
) -> None:
    trial_writer("baseline", settings={})
    trial_writer("t1", settings={"seed": 1, "adaptation.delta": 0.1})
    results = open_results(tmp_path)
    assert results.searched() == ["adaptation.delta", "seed"]
    assert results.trials().select(results.searched()).to_pylist()[1] == {
        "adaptation.delta": 0.1,
        "seed": 1,
    }


def test_splits_are_called_what_the_configs_call_them(
    tmp_path: Path, trial_writer: WriteTrial
) -> None:
    trial_writer("t1", dev_split="held-out")
    results = open_results(tmp_path)
    assert (results.split_name("dev"), results.split_name("test")) == ("held-out", "test")
    trial_writer("t2", dev_split="dev")
    with pytest.raises(ResultsError, match=r"corpus.dev_split = 'dev, held-out': .* name it"):
        results.split_name("dev")


def test_best_of_nothing_finished_is_empty(tmp_path: Path, trial_writer: WriteTrial) -> None:
    trial_writer("t1", status="running")
    assert open_results(tmp_path).best().num_rows == 0


@pytest.mark.parametrize("metric", ["dev_word_errors", "status", "adaptation.scorer"])
def test_best_refuses_what_is_no_number(
    tmp_path: Path, trial_writer: WriteTrial, metric: str
) -> None:
    trial_writer("t1", settings={"adaptation.scorer": "taylor"})
    with pytest.raises(ResultsError, match=r"must be one of .*dev_wer"):
        open_results(tmp_path).best(metric)


def test_a_retry_replaces_what_it_repeats_split_by_split(
    tmp_path: Path, trial_writer: WriteTrial
) -> None:
    trial_writer("t1", attempt=1, wers=(0.8,), utterances=(("u1", "a", 5, 1),))
    trial_writer("t1", attempt=0, wers=(0.9, 0.7), status="failed", utterances=(("u1", "a", 5, 4),))
    results = open_results(tmp_path)
    assert results.evaluations("t1", "dev")["wer"].to_pylist() == [0.8, 0.7]
    assert results.utterances("t1", "test")["substitutions"].to_pylist() == [1]
    assert results.trials()["status"].to_pylist() == ["finished"]


def test_an_open_sweep_is_followed_as_it_grows(tmp_path: Path, trial_writer: WriteTrial) -> None:
    trial_writer("t1", wers=(0.5,))
    results = open_results(tmp_path)
    assert results.evaluations()["trial_id"].to_pylist() == ["t1"]
    trial_writer("t0", wers=(0.5, 0.4))
    assert results.evaluations()["trial_id"].to_pylist() == ["t0", "t0", "t1"]
    assert results.trials().num_rows == 2


def test_an_allocation_is_the_one_in_force_at_a_step(
    tmp_path: Path, trial_writer: WriteTrial
) -> None:
    trial_writer("t1", event_step=15)
    results = open_results(tmp_path)

    def heads(step: int | None) -> list[int]:
        rows = results.allocation("t1", step).to_pylist()
        return [row["groups"] for row in rows if row["kind"] == "mhsa"]

    assert heads(0) == heads(14) == [4, 4]
    assert heads(15) == heads(999) == heads(None) == [4, 5]


def test_rows_can_be_had_of_one_trial(tmp_path: Path, trial_writer: WriteTrial) -> None:
    trial_writer("t1", event_step=15)
    trial_writer("t2", event_step=25)
    results = open_results(tmp_path)
    assert results.adaptations("t2")["step"].to_pylist() == [25]
    assert results.adaptations()["step"].to_pylist() == [15, 25]
    assert results.evaluations(split="dev").num_rows == 6
    assert results.steps("t1").num_rows == results.groups("t1").num_rows == 0


def test_utterances_are_those_of_the_last_step_unless_asked(
    tmp_path: Path, trial_writer: WriteTrial
) -> None:
    trial_writer("t1", utterances=(("u2", "a", 5, 0), ("u1", "b", 5, 0)))
    results = open_results(tmp_path)
    assert results.utterances("t1", "test")["utterance_id"].to_pylist() == ["u1", "u2"]
    assert results.utterances("t1", "test", 30).num_rows == 2
    assert results.utterances("t1", "test", 10).num_rows == 0


def test_sql_sees_the_tables_and_the_typed_settings(
    tmp_path: Path, trial_writer: WriteTrial
) -> None:
    trial_writer("t1", settings={"adaptation.delta": 0.1}, wers=(0.9, 0.5))
    trial_writer("t2", settings={"adaptation.delta": 0.3}, wers=(0.8, 0.6))
    answer = open_results(tmp_path).sql(
        "SELECT trial_id, min(wer) AS wer FROM evaluations JOIN trials USING (sweep_id, trial_id) "
        'WHERE "adaptation.delta" > 0.2 GROUP BY trial_id'
    )
    assert answer.to_pylist() == [{"trial_id": "t2", "wer": 0.6}]


def test_a_query_of_an_unknown_table_is_told_which_there_are(
    tmp_path: Path, trial_writer: WriteTrial
) -> None:
    trial_writer("t1")
    with pytest.raises(ResultsError, match=r"name trails .* tables: trials, steps, ") as refused:
        open_results(tmp_path).sql("select * from trails")
    assert "pg_tables" not in str(refused.value)


def test_columns_of_an_answer_have_names_of_their_own(
    tmp_path: Path, trial_writer: WriteTrial
) -> None:
    trial_writer("t1")
    answer = open_results(tmp_path).sql(
        "SELECT 1 AS a, 2 AS a_1, 3 AS a, 4 AS b, 5 AS a FROM trials"
    )
    assert answer.to_pylist() == [{"a": 1, "a_1": 2, "a_2": 3, "b": 4, "a_3": 5}]


@pytest.mark.parametrize("query", ["SELECT * FROM trails", "SELEC", "", "SELECT * FROM name"])
def test_a_query_that_can_not_be_answered_is_one_line(
    tmp_path: Path, trial_writer: WriteTrial, query: str
) -> None:
    trial_writer("t1")
    with pytest.raises(ResultsError) as caught:
        open_results(tmp_path).sql(query)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda r: r.evaluations("t01"), "trial = 't01': is not a trial .* did you mean t1"),
        (lambda r: r.evaluations("t1", "def"), "split = 'def': was not evaluated; there are dev"),
        (lambda r: r.table("reports"), "table = 'reports': must be one of trials, steps"),
        (lambda r: r.best(k=0), "k = 0: must be at least 1"),
    ],
)
def test_a_wrong_question_says_what_there_is(
    tmp_path: Path, trial_writer: WriteTrial, ask: Callable[..., object], message: str
) -> None:
    trial_writer("t1")
    with pytest.raises(ResultsError, match=message):
        ask(open_results(tmp_path))


def test_a_folder_of_sweeps_is_read_as_one(tmp_path: Path, trial_writer: WriteTrial) -> None:
    trial_writer("t1", sweep_id="b", folder="b", dev_wer=0.2)
    trial_writer("t1", sweep_id="a", folder="a", dev_wer=0.3)
    trial_writer("t2", sweep_id="a", folder="a", dev_wer=0.4)
    results = open_results(tmp_path)
    assert results.trials()["sweep_id"].to_pylist() == ["a", "a", "b"]
    assert results.best()["sweep_id"].to_pylist() == ["b"]
    assert results.evaluations("t2").num_rows == 3
    with pytest.raises(ResultsError, match=r"is in several sweeps \(a, b\)"):
        results.evaluations("t1")


def test_a_sweep_that_was_copied_counts_once(tmp_path: Path, trial_writer: WriteTrial) -> None:
    for folder in ("a", "a-copy"):
        trial_writer("t1", sweep_id="a", folder=folder)
    assert open_results(tmp_path).evaluations().num_rows == 3


def test_no_results_is_an_error_that_names_the_folder(tmp_path: Path) -> None:
    (tmp_path / "sweep.json").write_text("{}")
    with pytest.raises(ResultsError, match="holds no results yet") as caught:
        open_results(tmp_path)
    assert str(tmp_path) in str(caught.value)
