"""The command line as a person meets it: what it prints, and one line for whatever is wrong."""

import itertools
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml

from tuneprune.commands.plot import PlotKind
from tuneprune.data.corpus import UTTERANCES_SCHEMA, open_corpus, write_corpus
from tuneprune.errors import Interrupted
from tuneprune.results.export import EXPORTED
from tuneprune.results.plots import KINDS
from tuneprune.results.writer import TableWriter
from tuneprune.testing.tones import make_tone_corpus, tone_config
from tuneprune.training.recogniser import load_model

REPOSITORY = Path(__file__).resolve().parents[1]

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def space_file(tmp_path: Path, tones: Path) -> Callable[..., Path]:
    """Return a function that writes a search space over a tone corpus."""

    def write(corpus: Path = tones, **search: object) -> Path:
        space = {
            "name": "tones",
            "question": "Which delta suits tones?",
            "base": tone_config(corpus).model_dump(mode="json"),
            "search": {
                "trials": 2,
                "sampler": {"kind": "random", "seed": 1},
                "set": {
                    "adaptation.method": "grow_drop",
                    "adaptation.scorer": "taylor",
                    "adaptation.score_every_steps": 1,
                },
                "space": {
                    "adaptation.delta": {"uniform": [0.1, 0.3]},
                    "adaptation.at": {"uniform": [0.1, 0.5]},
                },
                **search,
            },
        }
        path = tmp_path / "tones.yaml"
        path.write_text(yaml.safe_dump(space, sort_keys=False))
        return path

    return write


def assert_refused(outcome: tuple[int, str, str], *named: str) -> None:
    """One line on standard error that names everything in ``named``, exit code 2."""
    code, _, err = outcome
    assert code == 2, err
    assert err.startswith("tuneprune: ")
    assert err.count("\n") == 1, err
    for part in named:
        assert part in err, err


def rows_under(first: str, out: str) -> list[str]:
    """Return the rows of the printed table whose header begins with ``first``."""
    lines = out.splitlines()
    header = next(i for i, line in enumerate(lines) if line.startswith(first))
    return list(itertools.takewhile(str.strip, lines[header + 1 :]))


def assert_nothing_written() -> None:
    assert list(Path.cwd().iterdir()) == []


@pytest.mark.parametrize(
    ("override", "named"),
    [
        ("model.dmodel=3", ("model.dmodel", "3", "d_model")),
        ("adaptation.delta=0.6", ("adaptation.delta", "0.6", "less than 0.5")),
        ("adaptation.at=1.5", ("adaptation.at", "1.5", "less than 1")),
        ("adaptation.scorer=tailor", ("adaptation.scorer", "tailor", "taylor")),
        ("training.epochs=many", ("training.epochs", "many", "integer")),
        ("model.conv_kernel=4", ("conv_kernel", "odd")),
        ("adaptation.method=magic", ("adaptation.method", "magic", "grow_drop")),
        ("model", ("--set", "model", "dotted.path=value")),
    ],
)
def test_a_wrong_setting_is_one_line_and_nothing_is_written(
    run: Run, space_file: Callable[..., Path], override: str, named: tuple[str, ...]
) -> None:
    assert_refused(run("sweep", space_file(), "--set", override), *named)
    assert_nothing_written()


def test_a_range_that_reaches_too_far_is_refused_before_any_work(
    run: Run, space_file: Callable[..., Path]
) -> None:
    reaching = {"adaptation.delta": {"uniform": [0.1, 0.6]}, "adaptation.at": {"choice": [0.1]}}
    path = space_file(space=reaching)
    assert_refused(run("sweep", path), "search.space.adaptation.delta", "0.6", "less than 0.5")
    assert_nothing_written()


def test_a_step_time_goes_with_a_dry_run_only(run: Run, space_file: Callable[..., Path]) -> None:
    assert_refused(run("sweep", space_file(), "--step-time", 0.2), "--step-time", "--dry-run")
    assert_nothing_written()
    code, out, _ = run("sweep", space_file(), "--step-time", 0.2, "--dry-run")
    assert code == 0
    assert "at 0.2 s a step" in out
    assert_nothing_written()


def test_doctor_without_a_space_takes_no_settings_of_one(run: Run) -> None:
    assert_refused(run("doctor", "--set", "seed=2"), "--set", "seed=2", "search space")
    assert_refused(run("doctor", "--max-concurrent", 2), "--max-concurrent", "search space")


@pytest.mark.parametrize("command", ["train", "sweep"])
def test_missing_audio_stops_before_training_with_the_list(
    run: Run, space_file: Callable[..., Path], tmp_path: Path, command: str
) -> None:
    corpus = tmp_path / "holes"
    make_tone_corpus(corpus)
    for name in ("train-003", "train-005"):
        (corpus / "audio" / f"{name}.wav").unlink()
    outcome = run(command, space_file(corpus))
    assert_refused(outcome, str(corpus), "2 missing", "train-003", "train-005", "corpus check")
    assert_nothing_written()


def test_corpus_check_names_every_unfit_utterance(run: Run, tmp_path: Path) -> None:
    corpus = tmp_path / "holes"
    make_tone_corpus(corpus)
    (corpus / "audio" / "dev-001.wav").unlink()
    code, out, _ = run("corpus", "check", corpus)
    assert code == 2
    assert out.startswith("dev-001: missing")


def test_a_manifest_line_that_is_not_json_is_named_and_no_corpus_is_made(
    run: Run, tmp_path: Path
) -> None:
    manifest = tmp_path / "manifest.jsonl"
    good = {
        "id": "a", "audio": "a.wav", "text": "a", "speaker": "s", "language": "en",
        "duration": 1.0, "split": "train", "sample_rate": 8000,
    }  # fmt: skip
    manifest.write_text(f"{json.dumps(good)}\n{{'id': 'b'\n")
    assert_refused(run("corpus", "import", manifest, "out"), "manifest line 2", "JSON")
    assert_nothing_written()


def test_several_manifests_are_imported_into_one_corpus(run: Run, tmp_path: Path) -> None:
    for language in ("en", "fr"):
        line = {
            "id": language, "audio": "a.wav", "text": "a", "speaker": "s", "language": language,
            "duration": 1.0, "split": "train", "sample_rate": 8000,
        }  # fmt: skip
        (tmp_path / language).write_text(json.dumps(line))
    code, _, err = run("corpus", "import", tmp_path / "en", tmp_path / "fr", "both")
    assert (code, err) == (0, "")
    assert open_corpus(Path("both")).split("train").languages == ("en", "fr")


def test_an_empty_split_is_named_with_those_there_are(
    run: Run, space_file: Callable[..., Path], tmp_path: Path
) -> None:
    corpus = tmp_path / "no-dev"
    make_tone_corpus(corpus)
    rows = [row for row in open_corpus(corpus).table.to_pylist() if row["split"] != "dev"]
    write_corpus(corpus, rows, sample_rate_hz=8000, licence="")
    outcome = run("sweep", space_file(corpus))
    assert_refused(outcome, "corpus.dev_split", "'dev'", "test, train")
    assert_nothing_written()


def test_characters_that_the_labels_lack_are_named(
    run: Run, space_file: Callable[..., Path], tmp_path: Path
) -> None:
    corpus = tmp_path / "odd"
    make_tone_corpus(corpus)
    rows = open_corpus(corpus).table.to_pylist()
    next(row for row in rows if row["id"] == "test-002")["text"] = "a ñ b"
    write_corpus(corpus, rows, sample_rate_hz=8000, licence="")
    assert_refused(run("train", space_file(corpus)), "ñ", "test-002")
    assert_nothing_written()


def test_a_folder_that_holds_another_sweep_is_refused(
    run: Run, space_file: Callable[..., Path]
) -> None:
    assert run("train", space_file(), "--out", "r", "--set", "training.epochs=1")[0] == 0
    before = sorted(Path("r").rglob("*"))
    outcome = run("sweep", space_file(), "--out", "r")
    assert_refused(outcome, "r", "another sweep", "--restart")
    assert sorted(Path("r").rglob("*")) == before


def test_a_run_can_be_looked_at(run: Run, space_file: Callable[..., Path]) -> None:
    code, out, _ = run("train", space_file(), "--out", "results/r", "--set", "training.epochs=1")
    assert code == 0
    assert "test" in out
    code, out, _ = run("results", "list", "--format", "json")
    assert [row["folder"] for row in json.loads(out)] == ["r"]
    code, out, _ = run("results", "best", "results/r", "--format", "json")
    assert json.loads(out)[0]["trial_id"] == "run"
    code, out, _ = run("results", "sql", "select count(*) as n from trials", "results/r")
    assert code == 0
    assert out.split() == ["n", "1"]
    code, out, _ = run("plot", "all", "results/r")
    assert code == 0
    drawn = [line for line in out.splitlines() if not line.startswith("left out")]
    assert Path("results/r/plots/curves.png") in map(Path, drawn)
    assert all(Path(line).is_file() for line in drawn)
    assert "left out importance: trials = 1: " in out
    code, out, _ = run("report", "r")
    assert (code, out.split()) == (0, ["results/r/report.html"])
    page = Path("results/r/report.html").read_text(encoding="utf-8")
    assert "run makes" in page
    assert f"tuneprune train {space_file()} --set training.epochs=1 --out" in page


def test_every_kind_of_picture_can_be_asked_for() -> None:
    assert [kind.value for kind in PlotKind] == [*KINDS, "all"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("scores", "--x", "a"), "x = 'a': has no meaning for scores, which takes --trial and"),
        (("history", "--out", "a.pdf"), "out = a.pdf: must end in .png or .svg, or be a folder"),
        (("all", "--out", "a.png"), "out = a.png: must be a folder where all kinds are drawn"),
        (("all", "--metric", "dev_cer"), "metric = 'dev_cer': is of one kind"),
        (("importance",), "are the fewest for importance"),
    ],
)
def test_a_plot_that_can_not_be_drawn_is_one_line_and_leaves_nothing(
    run: Run, arguments: tuple[str, ...], said: str
) -> None:
    write_two_trials(Path("results/two"))
    before = sorted(Path().rglob("*"))
    code, out, error = run("plot", arguments[0], "two", *arguments[1:])
    assert (code, out) == (2, "")
    assert said in error
    assert error.count("\n") == 1
    assert sorted(Path().rglob("*")) == before


@pytest.mark.parametrize(
    "arguments",
    [
        ("--help",),
        ("results", "list"),
        ("results", "show", "two"),
        ("results", "pool", "six"),
        ("results", "significance", "two"),
        ("results", "utterances", "two", "t01"),
        ("plot", "history", "two"),
        ("report", "two"),
    ],
    ids=" ".join,
)
def test_help_and_results_wait_for_neither_torch_nor_ray(
    run: Run, arguments: tuple[str, ...]
) -> None:
    write_two_trials(Path("results/two"))
    write_seeds(Path("results/six"), speakers=6)
    program = """
import sys, tuneprune.cli
try:
    tuneprune.cli.main()
except SystemExit as end:
    assert not end.code, end.code
sys.exit(", ".join({"torch", "ray"} & sys.modules.keys()) or 0)
"""
    command = [sys.executable, "-c", program, *arguments]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.fixture
def trained(run: Run, space_file: Callable[..., Path]) -> Path:
    """Return the checkpoint of a run that has grown and dropped."""
    adapts = "adaptation={method: grow_drop, at: 0.4, delta: 0.2, scorer: magnitude}"
    assert run("train", space_file(), "--out", "r", "--set", adapts)[0] == 0
    return next(Path("r/checkpoints/run").glob("best-*"))


def test_a_printed_allocation_builds_the_model_it_was_taken_from(
    run: Run, trained: Path, space_file: Callable[..., Path]
) -> None:
    code, out, _ = run("allocation", trained)
    assert code == 0
    Path("found.yaml").write_text(out)
    taken = ("--set", "model.allocation=found.yaml")
    uniform, found = (
        json.loads(run("describe", space_file(), "--json", *options)[1]) for options in ((), taken)
    )
    assert found["allocation"] != uniform["allocation"]
    assert found["modules"] == uniform["modules"]
    model = load_model(trained).model
    assert found["total_params"] == sum(p.numel() for p in model.parameters())
    assert found["groups"] == len(model.parameter_groups())
    code, out, _ = run("describe", space_file(), *taken)
    assert code == 0
    assert [list(map(int, line.split()[1:])) for line in rows_under("block", out)] == [
        list(block.values()) for block in found["allocation"]
    ]


def test_recordings_are_transcribed(run: Run, trained: Path, tones: Path) -> None:
    paths = sorted((tones / "audio").glob("dev-*.wav"))[::-1]
    texts = load_model(trained).transcribe(paths)
    code, out, _ = run("transcribe", trained, *paths)
    assert code == 0
    assert out == "".join(f"{path}\t{text}\n" for path, text in zip(paths, texts, strict=True))
    code, out, _ = run("transcribe", trained, *paths, "--format", "json")
    assert [(row["audio"], row["text"]) for row in json.loads(out)] == [
        (str(path), text) for path, text in zip(paths, texts, strict=True)
    ]


def test_a_model_is_exported_beside_its_labels(run: Run, trained: Path) -> None:
    code, out, _ = run("export", trained, "--format", "torchscript", "--out", "m/model.pt")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()] == ["m/model.pt", "m/model.pt.json"]
    assert json.loads(Path("m/model.pt.json").read_text())["sample_rate_hz"] == 8000


def test_what_is_no_checkpoint_or_no_recording_is_one_line(run: Run, trained: Path) -> None:
    assert_refused(run("allocation", "r"), "r", f"checkpoints/run/{trained.name}")
    assert_refused(run("transcribe", "nowhere", "a.wav"), "nowhere", "is not a checkpoint")
    assert_refused(run("transcribe", trained, "a.wav"), "a.wav", "is not there")
    outcome = run("export", "r", "--format", "torchscript", "--out", "m.pt")
    assert_refused(outcome, f"checkpoints/run/{trained.name}")
    assert not Path("m.pt").exists()


def write_two_trials(folder: Path) -> None:
    """Write t01 and a baseline t00 over three utterances, and how they end."""
    said = {"t00": (2, 2, 4), "t01": (1, 0, 3)}
    for trial_id, errors in said.items():
        with TableWriter(folder, sweep_id="s", trial_id=trial_id, attempt=0, seed=1) as writer:
            for number, wrong in enumerate(errors):
                writer.add(
                    "utterances", step=9, split="eval", utterance_id=f"u{number}",
                    speaker=f"s{number // 2}", language="en", reference="a", hypothesis="",
                    num_ref_words=10, substitutions=wrong, deletions=0, insertions=0,
                    num_ref_chars=1, char_errors=0,
                )  # fmt: skip
            writer.add(
                "trials", step=9, status="finished", is_baseline=trial_id == "t00",
                dev_wer=sum(errors) / 30, test_wer=sum(errors) / 30, params=1_000_000,
                train_s=125.0, settings=json.dumps({"adaptation.delta": 0.1}),
                config=json.dumps({"corpus": {"dev_split": "dev", "test_split": "eval"}}),
                reason="[batch, 3]",
            )  # fmt: skip


def test_trials_are_compared_on_the_test_split_of_their_corpus(run: Run) -> None:
    write_two_trials(Path("results/two"))
    code, out, _ = run("results", "compare", "two", "t01", "t00", "--format", "json")
    assert code == 0
    row = json.loads(out)[0]
    assert (row["a"], row["b"]) == ("t01", "t00")
    assert row["wer_a"] == pytest.approx(4 / 30)
    assert row["difference"] == pytest.approx(-4 / 30)
    assert row["low"] <= row["difference"] <= row["high"] <= 0
    assert row["probability_of_improvement"] == 1
    assert (row["by"], row["blocks"], row["p"]) == ("utterance", 3, None)
    code, out, _ = run("results", "compare", "two", "t01", "t00", "--by", "speaker")
    assert code == 0
    assert "-13.3" in out
    assert "Word error rates on eval." in out
    assert "over speakers, of which there are 2." in " ".join(out.split())
    assert "No p: the kept texts do not have the counted errors." in out
    out = run("results", "compare", "two", "t01", "t00")[1]
    assert "over utterances, of which there are 3." in " ".join(out.split())
    outcome = run("results", "compare", "two", "t01", "t00", "--split", "test")
    assert_refused(outcome, "'test'", "there are eval")
    assert_refused(run("results", "compare", "two", "t01", "t02"), "'t02'", "did you mean")


def test_trials_are_compared_with_their_baseline(run: Run) -> None:
    write_two_trials(Path("results/two"))
    code, out, _ = run("results", "significance", "two", "--format", "json")
    assert code == 0
    (row,) = json.loads(out)
    assert (row["trial_id"], row["baseline"], row["split"]) == ("t01", "t00", "eval")
    assert row["difference"] == pytest.approx(-4 / 30)
    code, out, _ = run("results", "significance", "two", "--by", "speaker")
    assert code == 0
    assert "-13.3" in out
    assert "paired bootstrap over 2 speakers." in out
    assert max(map(len, out.splitlines())) <= 100
    refused = run("results", "significance", "two", "--split", "test")
    assert_refused(refused, "split = 'test'", "there are eval")


def test_the_best_by_a_metric_stay_in_its_order_and_show_it(run: Run) -> None:
    write_two_trials(Path("results/two"))
    code, out, _ = run("results", "best", "two", "--metric", "time_s", "--k", "2")
    assert code == 0
    header, first, second = (line.split() for line in out.splitlines())
    assert header[:5] == ["trial_id", "baseline", "delta", "status", "time_s"]
    assert (first[0], second[0]) == ("t00", "t01")  # written first, though t01 has fewer errors
    assert "26.7" in first


def test_tables_are_printed_as_they_are_asked_for(run: Run) -> None:
    write_two_trials(Path("results/two"))
    code, out, _ = run("results", "show", "two", "--format", "markdown")
    assert code == 0
    assert out.splitlines()[0] == (
        "| trial_id | baseline | dev_wer | test_wer | params | train_s |"
    )
    assert out.splitlines()[2] == "| t01 |  | 13.3 % | 13.3 % | 1,000,000 | 2 min 05 s |"
    assert out.splitlines()[3].startswith("| t00 | yes |")
    assert out.splitlines()[-1] == "the same in all rows: adaptation.delta 0.1, status finished"
    rows = json.loads(run("results", "show", "two", "--format", "json")[1])
    assert [(row["adaptation.delta"], row["status"]) for row in rows] == [(0.1, "finished")] * 2
    query = "select reason, 100 * dev_wer as dev_wer from trials order by trial_id"
    code, out, _ = run("results", "sql", query, "two")
    assert code == 0
    assert out.splitlines()[1].split() == ["[batch,", "3]", "26.6667"]
    lists = "select trial_id, [dev_wer, test_wer] as rates from trials"
    assert_refused(run("results", "sql", lists, "two", "--format", "csv"), "rates", "--format json")
    assert run("results", "sql", lists, "two", "--format", "json")[0] == 0


def test_sweeps_are_listed_beside_one_that_can_not_be_read(run: Run) -> None:
    write_two_trials(Path("results/two"))
    Path("results/odd/parts").mkdir(parents=True)
    Path("results/odd/parts/trials").write_text("no folder")
    code, out, err = run("results", "list")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()] == ["folder", "two"]
    assert err == "note: odd: parts/trials: can not be listed (Not a directory)\n"


def test_a_folder_without_sweeps_is_said_to_have_none(run: Run) -> None:
    Path("empty").mkdir()
    assert run("results", "list", "empty") == (0, "no sweeps in empty\n", "")
    assert run("results", "list", "empty", "--format", "json")[:2] == (0, "[]\n")


def write_seeds(folder: Path, *, speakers: int) -> None:
    """Write a setting and its baseline with seeds 1 and 2, and a third seed that failed."""
    counts = {"language": "en", "reference": "a", "hypothesis": "", "num_ref_words": 10}
    counts |= dict.fromkeys(("deletions", "insertions", "char_errors"), 0) | {"num_ref_chars": 1}
    for trial_id, seed, wrong in (("b1", 1, 4), ("b2", 2, 4), ("t1", 1, 3), ("t2", 2, 2)):
        write_seed(folder, trial_id, seed, [wrong] * speakers, counts, "finished")
    write_seed(folder, "t3", 3, [], counts, "failed")


def write_seed(
    folder: Path, trial_id: str, seed: int, wrong: list[int], counts: dict[str, object], status: str
) -> None:
    is_baseline = trial_id.startswith("b")
    adaptation = {"method": "none"} if is_baseline else {"method": "grow_drop", "delta": 0.1}
    settings = {"seed": seed, "adaptation.delta": 0.1, "adaptation.scorer": "taylor"}
    config = {"corpus": {"dev_split": "dev", "test_split": "eval"}, "adaptation": adaptation}
    with TableWriter(folder, sweep_id="s", trial_id=trial_id, attempt=0, seed=seed) as writer:
        for split in ("dev", "eval"):
            for number, errors in enumerate(wrong):
                writer.add(
                    "utterances", step=9, split=split, utterance_id=f"u{number}",
                    speaker=f"s{number}", substitutions=errors, **counts,
                )  # fmt: skip
        writer.add(
            "trials", step=9, status=status, is_baseline=is_baseline, params=12_345_678,
            settings=json.dumps({"seed": seed} if is_baseline else settings),
            config=json.dumps({**config, "seed": seed}),
        )  # fmt: skip


def test_pooled_seeds_are_a_line_a_setting(run: Run) -> None:
    write_seeds(Path("results/seeds"), speakers=6)
    code, out, _ = run("results", "pool", "seeds")
    assert code == 0
    header, adapted, baseline, gap, *notes = out.splitlines()
    titles = ["delta", "scorer", "seeds", "dev WER", "test WER", "vs baseline", "params"]
    assert header.split() == " ".join(titles).split()
    # 30 and 40 errors of 120 words, the same for every speaker; so no draw differs.
    assert adapted.split() == [
        "0.1", "taylor", "2+1", "unfinished", *("25.0", "[25.0,", "25.0]") * 2,
        "-15.0", "[-15.0,", "-15.0]", "12.35", "M",
    ]  # fmt: skip
    assert baseline.split()[:3] == ["-", "-", "2"]
    assert baseline.split()[-3:] == ["baseline", "12.35", "M"]
    assert gap == ""
    assert not any("fewer" in line for line in notes)
    assert max(map(len, out.splitlines())) <= 100
    code, out, _ = run("results", "pool", "seeds", "--format", "markdown")
    assert out.splitlines()[0] == f"| {' | '.join(titles)} |"
    rows = json.loads(run("results", "pool", "seeds", "--format", "json")[1])
    assert rows[0]["difference"] == pytest.approx(-0.15)
    assert rows[0]["probability_of_improvement"] == 1
    assert rows[0]["paired_seeds"] == 2


def test_pools_of_few_speakers_say_that_utterances_were_drawn(run: Run) -> None:
    write_seeds(Path("results/few"), speakers=4)
    code, out, _ = run("results", "pool", "few")
    assert code == 0
    assert "-15.0 [-15.0, -15.0]" in out.splitlines()[1]
    assert "On dev and test there are fewer than 5 speakers" in out
    assert max(map(len, out.splitlines())) <= 100


def test_the_agreement_of_scorers_is_shown(run: Run) -> None:
    write_two_trials(Path("results/two"))
    with TableWriter(Path("results/two"), sweep_id="s", trial_id="t01", attempt=0, seed=1) as w:
        for scorer, scores in (("taylor", (1.0, 2.0, 3.0)), ("magnitude", (3.0, 2.0, 1.0))):
            for index, score in enumerate(scores):
                w.add(
                    "group_scores", step=5, event=0, scorer=scorer, score=score, layer=0,
                    kind="ff1", group_index=index, group_id=f"blocks.0.ff1.{index}", params=1,
                    fate=("dropped", "kept", "grown")[int(score) - 1],
                )  # fmt: skip
    code, out, _ = run("results", "scorers", "two", "t01", "--format", "json")
    assert code == 0
    (row,) = json.loads(out)
    assert row["rank_correlation"] == pytest.approx(-1)
    assert row["dropped_overlap"] == row["grown_overlap"] == 0
    code, out, _ = run("results", "scorers", "two", "t01")
    assert code == 0
    assert "Rank correlation: Spearman's." in out
    assert_refused(run("results", "scorers", "two", "t09"), "'t09'", "is not a trial")


def test_an_exported_sweep_is_a_sweep(run: Run) -> None:
    write_two_trials(Path("results/two"))
    code, out, _ = run("results", "export", "two", "kept")
    assert code == 0
    assert len(out.splitlines()) == len(EXPORTED)
    best = [
        json.loads(run("results", "best", where, "--format", "json")[1])
        for where in ("two", "kept")
    ]
    assert best[0] == best[1]
    assert best[0][0]["trial_id"] == "t01"
    assert_refused(run("results", "export", "two", "kept"), "kept", "holds something already")
    outcome = run("results", "export", "two", "other", "--tables", "trials,steps, words")
    assert_refused(outcome, "'words'", "must be one of")
    assert not Path("other").exists()


def test_an_interrupt_says_its_line_and_exits_as_shells_expect(
    run: Run, space_file: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise Interrupted("interrupted; --resume goes on")

    monkeypatch.setattr("tuneprune.sweep.single.train_single", interrupted)
    code, _, err = run("train", space_file())
    assert code == 130
    assert err == "tuneprune: interrupted; --resume goes on\n"


def test_a_model_has_a_label_beside_the_blank(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text("corpus: {path: nowhere}\n")
    for labels in ("0", "1"):
        code, out, err = run("describe", path, "--labels", labels)
        assert (code, out) == (2, "")
        assert "--labels" in err
    code, out, _ = run("describe", path, "--labels", "2", "--json")
    assert (code, json.loads(out)["num_labels"]) == (0, 2)


def test_describe_as_json_has_the_published_sizes(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text("corpus: {path: nowhere}\n")  # the default model is the one of width 384
    code, out, _ = run("describe", path, "--json")
    description = json.loads(out)
    assert code == 0
    assert description["blocks"] == 12
    assert description["prunable_params"] == 40_969_728
    assert description["modules"]["conv"]["group_cost"] == 114_336
    assert description["modules"]["mhsa"]["groups"] == 6
    assert description["num_labels_from"] == "assumed"


@pytest.mark.parametrize(
    "path", sorted(REPOSITORY.glob("search_spaces/*.yaml")), ids=lambda p: p.stem
)
def test_every_search_space_of_the_repository_can_be_described(run: Run, path: Path) -> None:
    code, out, _ = run("describe", path, "--json")
    assert code == 0
    assert json.loads(out)["total_params"] > 0


def test_synthesis_and_import_print_what_there_is(run: Run, tmp_path: Path) -> None:
    pytest.importorskip("espeakng_loader", reason="needs the extra `synth`")
    sizes = [f"{split}_utterances=2" for split in ("train", "dev", "test")]
    options = [part for size in sizes for part in ("--set", size)]
    code, out, _ = run("corpus", "synth", "spoken", *options)
    assert code == 0
    assert "16000 Hz" in out
    table = pq.read_table("spoken/utterances.parquet")
    assert table.schema.equals(UTTERANCES_SCHEMA)
    shutil.rmtree("spoken")
