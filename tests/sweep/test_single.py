"""A single run is a sweep of one trial; an interrupted one goes on as if it had not been."""

import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tuneprune.config import RunConfig
from tuneprune.errors import ConfigError, Interrupted, ResourceError, ResultsError
from tuneprune.results.reader import open_results
from tuneprune.sweep import single
from tuneprune.sweep.folder import begin_sweep
from tuneprune.sweep.lock import sole_use
from tuneprune.sweep.single import train_single
from tuneprune.testing.tones import tone_config
from tuneprune.training.context import LocalContext

EVENT = "adaptation={method: grow_drop, at: 0.4, delta: 0.2, scorer: taylor, score_every_steps: 1}"


@pytest.fixture
def config(tones: Path) -> RunConfig:
    return tone_config(tones, EVENT, "model.dropout=0.1")


def interrupt_at(monkeypatch: pytest.MonkeyPatch, evaluations: int) -> None:
    """Make the next runs end as Ctrl-C would, at the given evaluation."""
    seen: list[float] = []

    def report(self: LocalContext, metrics: dict[str, float], checkpoint: Path | None) -> None:
        seen.append(metrics["step"])
        if len(seen) == evaluations:
            raise KeyboardInterrupt

    monkeypatch.setattr(single.LocalContext, "report", report)


def test_an_interrupted_run_goes_on_to_the_same_numbers(
    config: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = train_single(config, name="r", out=tmp_path / "whole")
    with monkeypatch.context() as patch:
        interrupt_at(patch, 2)
        with pytest.raises(Interrupted, match="--resume") as caught:
            train_single(config, name="r", out=tmp_path / "cut")
    assert "\n" not in str(caught.value)
    stopped = open_results(tmp_path / "cut").trials().to_pylist()[0]
    assert stopped["status"] == "stopped"
    assert stopped["step"] == open_results(tmp_path / "cut").evaluations()["step"].to_pylist()[-1]
    resumed = train_single(config, name="r", out=tmp_path / "cut", resume=True)
    assert (resumed.dev_wer, resumed.test_wer) == (whole.dev_wer, whole.test_wer)
    rows = [
        open_results(tmp_path / name).evaluations().select(["step", "split", "wer", "loss"])
        for name in ("whole", "cut")
    ]
    assert rows[0].equals(rows[1])
    assert open_results(tmp_path / "cut").trials()["status"].to_pylist() == ["finished"]


def test_there_is_nothing_to_resume_in_a_finished_run_or_another(
    config: RunConfig, tones: Path, tmp_path: Path
) -> None:
    train_single(config, name="r", out=tmp_path / "r")
    with pytest.raises(ResultsError, match="finished"):
        train_single(config, name="r", out=tmp_path / "r", resume=True)
    there = r"another run \(r \w{8}\): adaptation.method is grow_drop there, none here"
    with pytest.raises(ResultsError, match=there):
        train_single(tone_config(tones), name="r", out=tmp_path / "r", resume=True)


@pytest.mark.parametrize(
    "adaptation",
    [
        EVENT.replace("taylor", "'my_module:SquaredTaylor'"),
        EVENT.replace("}", ", watch: ['my_module:SquaredTaylor']}"),
        "adaptation={method: 'my_module:SwapOne', settings: {at: 0.4}}",
    ],
    ids=["scorer", "watch", "method"],
)
def test_a_run_whose_plugin_has_changed_since_is_not_gone_on_with(
    tones: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, adaptation: str
) -> None:
    config = tone_config(tones, adaptation)
    with monkeypatch.context() as patch:
        interrupt_at(patch, 2)
        with pytest.raises(Interrupted):
            train_single(config, name="r", out=tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr("tuneprune.adaptation.source_fingerprint", lambda found: "another")
        with pytest.raises(ResultsError, match="begun with another version of my_module:S"):
            train_single(config, name="r", out=tmp_path, resume=True)
    assert train_single(config, name="r", out=tmp_path, resume=True).status == "finished"


def test_a_run_that_was_killed_is_refused_with_the_way_to_go_on(
    config: RunConfig, tmp_path: Path, refusal: Callable[..., str]
) -> None:
    begin_sweep(tmp_path, single._contents_of(config, "r"))  # all that SIGKILL may leave
    text = refusal(train_single, config, name="r", out=tmp_path)
    assert "holds this run, unfinished; --resume goes on with it, or --restart moves it" in text


@pytest.mark.parametrize("way", ["resume", "restart"])
def test_a_run_that_another_process_trains_is_left_alone(
    config: RunConfig,
    tmp_path: Path,
    refusal: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
    way: str,
) -> None:
    monkeypatch.setattr(single, "prepare", lambda *arguments, **options: None)
    out = tmp_path / "r"
    begin_sweep(out, single._contents_of(config, "r"))
    with sole_use(out):
        assert "another process trains this run" in refusal(
            train_single, config, name="r", out=out, **{way: True}
        )
    assert list(tmp_path.iterdir()) == [out]
    with sole_use(out):  # free again
        pass


def test_a_failed_run_is_recorded_with_its_traceback(
    config: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object, **options: object) -> None:
        raise RuntimeError("a disk that is full")

    monkeypatch.setattr(single, "train", fail)
    with pytest.raises(RuntimeError):
        train_single(config, name="r", out=tmp_path / "r")
    row = open_results(tmp_path / "r").trials().to_pylist()[0]
    assert row["status"] == "failed"
    assert row["reason"] == "RuntimeError: a disk that is full"
    assert "in fail" in row["traceback"]


def test_sigterm_ends_a_run_as_ctrl_c_does(
    config: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*arguments: object, **options: object) -> None:
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(single, "train", killed)
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Interrupted, match=r"tuneprune.* results show"):
        train_single(config, name="r", out=tmp_path / "r")
    assert signal.getsignal(signal.SIGTERM) == before
    assert open_results(tmp_path / "r").trials()["status"].to_pylist() == ["stopped"]


def test_only_restart_moves_a_folder(
    config: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "r"

    def taken_meanwhile(*arguments: object, **options: object) -> None:
        out.mkdir()
        (out / "sweep.json").write_text("{}")

    monkeypatch.setattr(single, "prepare", taken_meanwhile)
    with pytest.raises(ResultsError, match="was begun by another process"):
        train_single(config, name="r", out=out)
    assert (out / "sweep.json").read_text() == "{}"
    assert [path.name for path in tmp_path.iterdir()] == ["r"]


def test_resume_and_restart_exclude_each_other(config: RunConfig, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="give one of the two"):
        train_single(config, name="r", out=tmp_path / "r", resume=True, restart=True)
    assert list(tmp_path.iterdir()) == []


def test_too_many_workers_are_refused_before_any_work(
    tones: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(single, "prepare", None)  # not to be called
    config = tone_config(tones, "training.workers=1000")
    with pytest.raises(ResourceError, match="need 1000 CPUs"):
        train_single(config, name="r", out=tmp_path / "r")
    assert list(tmp_path.iterdir()) == []


def test_a_run_may_be_named_by_a_file_of_any_name(
    config: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object, **options: object) -> None:
        raise RuntimeError("enough")

    monkeypatch.setattr(single, "train", fail)
    with pytest.raises(RuntimeError, match="enough"):
        train_single(config, name="my run (2)", out=tmp_path / "r")
    sweep_id = open_results(tmp_path / "r").trials()["sweep_id"].to_pylist()[0]
    assert sweep_id.startswith("my-run-2-")
