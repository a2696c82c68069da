"""The command line as a person meets it: what it prints, and one line for whatever is wrong."""

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml

from tuneprune import cli
from tuneprune.data.corpus import UTTERANCES_SCHEMA, open_corpus, write_corpus
from tuneprune.testing.tones import make_tone_corpus, tone_config

REPOSITORY = Path(__file__).resolve().parents[1]

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Return a function that runs the command line in an empty folder: exit code, out, err."""
    empty = tmp_path / "cwd"
    empty.mkdir()
    monkeypatch.chdir(empty)

    def run_it(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["tuneprune", *map(str, arguments)])
        with pytest.raises(SystemExit) as exit_info:
            cli.main()
        captured = capsys.readouterr()
        code = exit_info.value.code
        return (0 if code is None else int(code)), captured.out, captured.err

    return run_it


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
                "set": {"adaptation.method": "grow_drop", "adaptation.scorer": "taylor"},
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
    path = space_file(space={"adaptation.delta": {"uniform": [0.1, 0.6]}})
    assert_refused(run("sweep", path), "search.space.adaptation.delta", "0.6", "less than 0.5")
    assert_nothing_written()


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
    code, out, _ = run("results", "plot", "results/r")
    assert code == 0
    assert all(Path(line).is_file() for line in out.split())


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
