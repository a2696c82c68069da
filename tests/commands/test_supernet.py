"""Subnets on the command line: listed, exported by size or by a limit, transcribed with."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from supernet_runs import trained_supernet

from tuneprune.training.recogniser import load_model
from tuneprune.training.subnets import open_subnets

pytestmark = pytest.mark.slow

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def path(tones: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the checkpoint of a supernet of 8 modules with subnets of 5 and 2."""
    return trained_supernet(tones, tmp_path_factory.mktemp("supernet"), "conformer")


def assert_refused(outcome: tuple[int, str, str], *parts: str) -> None:
    code, out, err = outcome
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert err.startswith("tuneprune: ")
    for part in parts:
        assert part in err


def test_subnets_are_listed_with_what_they_cost_and_get_wrong(run: Run, path: Path) -> None:
    code, out, err = run("subnets", path)
    assert (code, err) == (0, "")
    assert max(map(len, out.splitlines())) <= 100
    head, *rows = out.splitlines()[:4]
    assert head.split()[:3] == ["modules", "trained", "parameters"]
    assert [row.split()[:2] for row in rows] == [["8", "supernet"], ["5", "yes"], ["2", "yes"]]
    params = [int(row.split()[2].replace(",", "")) for row in rows]
    assert params == [load_model(path, subnet=k).model.num_params() for k in (8, 5, 2)]
    assert all("%" in row for row in rows)
    assert out.splitlines()[-1] == (
        "real-time factor of 4 x 10 s of made-up features, float32, 1 thread, "
        "least of 5 or more in 0.5 s"
    )


def test_all_sizes_are_listed_and_only_trained_ones_have_error_rates(run: Run, path: Path) -> None:
    code, out, _ = run("subnets", path, "--all", "--no-time", "--format", "json")
    assert code == 0
    rows = json.loads(out)
    assert [row["modules"] for row in rows] == [8, 7, 6, 5, 4, 3, 2, 1]
    assert [row["modules"] for row in rows if row["trained"]] == [8, 5, 2]
    assert [row["modules"] for row in rows if row["dev_wer"] is not None] == [8, 5, 2]
    assert {row["real_time_factor"] for row in rows} == {None}


def test_a_moved_checkpoint_says_why_it_has_no_error_rates(
    run: Run, path: Path, tmp_path: Path
) -> None:
    shutil.copytree(path, tmp_path / "moved")
    code, out, err = run("subnets", tmp_path / "moved", "--no-time")
    assert code == 0
    assert "%" not in out
    assert err.startswith("note: no word error rates: ")
    assert err.count("\n") == 1


def test_a_subnet_is_exported_and_recognises_as_in_the_supernet(
    run: Run, path: Path, tones: Path
) -> None:
    recordings = sorted((tones / "audio").glob("dev-*.wav"))
    code, out, _ = run("export", path, "--subnet", 5, "--format", "checkpoint", "--out", "small")
    assert code == 0
    assert out.startswith("small  ")
    inside = run("transcribe", path, "--subnet", 5, *recordings)
    assert inside == run("transcribe", "small", *recordings)
    assert inside[1].splitlines()[0].startswith(f"{recordings[0]}\t")
    code, out, _ = run("allocation", "small")
    assert code == 0
    assert out.count(": 0") == 3


def test_the_largest_subnet_within_a_limit_is_exported(run: Run, path: Path) -> None:
    params = open_subnets(path).model_of(3).num_params()
    small = ("--max-params", params, "--format", "torchscript", "--out", "model.pt")
    code, out, _ = run("export", path, *small)
    assert code == 0
    assert out.splitlines()[0] == (f"3 of 8 modules, not trained by itself: {params:,} parameters")
    assert Path("model.pt.json").is_file()
    code, out, _ = run("export", path, "--max-rtf", 99, "--format", "checkpoint", "--out", "fast")
    assert code == 0
    assert out.startswith("real-time factor of 4 x 10 s")
    assert "\n8 of 8 modules, trained: " in out
    assert Path("fast/state.json").is_file()


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        (("--subnet", 9, "--format", "onnx"), ("subnet = 9", "from 1 to 8")),
        (("--max-params", 9, "--format", "onnx"), ("max_params = 9", "at least")),
        (("--max-rtf", 1e-9, "--format", "onnx"), ("max_rtf = 1e-09", "smallest subnet")),
        (("--format", "checkpoint"), ("--format = 'checkpoint'", "--subnet, --max-params")),
        (
            ("--subnet", 2, "--max-rtf", 1, "--format", "onnx"),
            ("--subnet = 2", "give one of --subnet and --max-rtf"),
        ),
        (("--subnet", 2, "--format", "compact"), ("--subnet = 2", "leave it out")),
        (
            ("--subnet", 2, "--language", "fr", "--format", "onnx"),
            ("--language = 'fr'", "leave it out"),
        ),
    ],
)
def test_options_that_make_no_sense_are_one_line(
    run: Run, path: Path, options: tuple[object, ...], parts: tuple[str, ...]
) -> None:
    assert_refused(run("export", path, *options, "--out", "model"), *parts)
    assert not Path("model").exists()


@pytest.mark.parametrize("name", ["export", "transcribe"])
@pytest.mark.parametrize(
    ("option", "value", "shown"),
    [
        ("--max-rtf", "nan", "nan"),
        ("--max-rtf", "inf", "inf"),
        ("--max-rtf", -1, "-1.0"),
        ("--max-rtf", 0, "0.0"),
        ("--max-params", -5, "-5"),
        ("--max-params", 0, "0"),
    ],
)
def test_a_limit_that_nothing_can_keep_is_refused_before_anything_is_opened(
    run: Run, name: str, option: str, value: object, shown: str
) -> None:
    outcome = run(name, "no/such/checkpoint", *["a.wav"][: name == "transcribe"], option, value)
    assert_refused(outcome, f"{option} = {shown}: must be ")


def test_a_subnet_is_a_checkpoint_named_by_its_size_if_nothing_else_is_said(
    run: Run, path: Path, tones: Path
) -> None:
    code, out, _ = run("export", path, "--subnet", 5)
    assert (code, out.split()[0]) == (0, "subnet-5")
    params = open_subnets(path).model_of(3).num_params()
    code, out, _ = run("export", path, "--max-params", params)
    assert (code, out.splitlines()[-1].split()[0]) == (0, "subnet-3")
    recording = sorted((tones / "audio").glob("dev-*.wav"))[0]
    said = run("transcribe", "subnet-3", recording)
    assert said[0] == 0
    assert run("transcribe", path, "--subnet", 3, recording) == said
    assert_refused(run("export", path, "--subnet", 5), "out = subnet-5: is there already")


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        ((), ("--format = None", "torchscript, onnx, compact, checkpoint", "--subnet")),
        (("--out", "model"), ("--format = None", "torchscript")),
        (("--format", "onnx"), ("--out = None", "file to write", "--subnet")),
        (("--format", "compact"), ("--out = None", "file to write")),
    ],
)
def test_a_whole_model_needs_format_and_file(
    run: Run, options: tuple[object, ...], parts: tuple[str, ...]
) -> None:
    assert_refused(run("export", "no/such/checkpoint", *options), *parts)


@pytest.mark.parametrize("limit", ["--max-params", "--max-rtf"])
def test_texts_of_a_subnet_within_a_limit_are_all_that_is_on_stdout(
    run: Run, path: Path, tones: Path, limit: str
) -> None:
    recordings = sorted((tones / "audio").glob("dev-*.wav"))[:2]
    size, most = (
        (3, open_subnets(path).model_of(3).num_params()) if limit == "--max-params" else (8, 99)
    )
    code, out, err = run("transcribe", path, limit, most, *recordings)
    assert code == 0
    assert out == run("transcribe", path, "--subnet", size, *recordings)[1]
    assert f"{size} of 8 modules, " in err.splitlines()[-1]


def test_options_of_transcribe_that_do_not_go_together_are_one_line(run: Run) -> None:
    asked = ("transcribe", "no/such/checkpoint", "a.wav", "--max-params", 9)
    assert_refused(run(*asked, "--max-rtf", 1), "give one of --max-params and --max-rtf")
    assert_refused(run(*asked, "--language", "fr"), "--language = 'fr'", "leave it out")


def test_what_has_no_subnets_is_one_line(run: Run, path: Path) -> None:
    run("export", path, "--subnet", 5, "--format", "checkpoint", "--out", "small")
    for outcome in (
        run("subnets", "small"),
        run("transcribe", "small", "--subnet", 2, "a.wav"),
        run("export", "small", "--subnet", 2, "--format", "onnx", "--out", "model.onnx"),
    ):
        assert_refused(outcome, "checkpoint = small: has no subnets", "adaptation.method: supernet")


def test_a_subnet_is_described_as_any_checkpoint_that_a_run_starts_from(
    run: Run, path: Path
) -> None:
    run("export", path, "--subnet", 5, "--format", "checkpoint", "--out", "small")
    config = json.loads(Path("small/state.json").read_text())["config"]
    config["model"]["allocation"] = None
    Path("run.yaml").write_text(json.dumps(config))
    code, out, err = run(
        "describe", "run.yaml", "--json", "--labels", 6, "--set", "model.start_from=small"
    )
    assert (code, err) == (0, "")
    assert json.loads(out)["total_params"] == load_model("small").model.num_params()
