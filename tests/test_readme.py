"""The README names what there is, and its example query counts what happened."""

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tuneprune.results.reader import open_results
from tuneprune.results.writer import TableWriter

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_every_package_and_top_level_module_is_in_the_layout() -> None:
    layout = README.partition("## Layout")[2]
    named = set(re.findall(r"^    tuneprune/(\S+)", layout, flags=re.MULTILINE))
    packages = {f"{path.parent.name}/" for path in (ROOT / "tuneprune").glob("*/__init__.py")}
    modules = {path.name for path in (ROOT / "tuneprune").glob("*.py")}
    assert named == packages | {name for name in modules if not name.startswith("__")}


def blocks() -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)


def test_the_example_plugins_are_those_that_tests_train_with() -> None:
    (shown,) = (block for block in blocks() if "class SwapOne" in block)
    source = (ROOT / "tests" / "plugins" / "my_module.py").read_text(encoding="utf-8")
    assert source.endswith(f"\n\n{shown}")


def test_the_example_plugins_pass_their_suites_as_it_is_shown() -> None:
    (shown,) = (block for block in blocks() if "check_method(" in block)
    exec(compile(shown, "README.md", "exec"), {})


def test_the_example_script_answers_its_five_questions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_quickstart(tmp_path / "results" / "quickstart")
    monkeypatch.chdir(tmp_path)
    (script,) = (block for block in blocks() if "answers = {" in block)
    assert script.count("\n") < 40
    names: dict[str, Any] = {}
    exec(compile(script, "README.md", "exec"), names)
    questions = [line for line in capsys.readouterr().out.splitlines() if line.endswith("?")]
    assert questions == list(names["answers"])
    tables = names["answers"].values()
    chance, moved, recovered, agree, worse = (table.to_pylist() for table in tables)
    # One error more and one less, of 4 words in 2 utterances.
    assert [(row["a"], row["b"], row["difference"]) for row in chance] == [("t1", "t0", 0.0)]
    assert (chance[0]["low"], chance[0]["high"]) == (-0.5, 0.5)
    assert moved == [
        {"layer": 0, "kind": "ff1", "dropped": 1, "grown": 0},
        {"layer": 1, "kind": "mhsa", "dropped": 0, "grown": 1},
    ]
    assert [tuple(row.values()) for row in recovered] == [
        (4, "t1", True, 2, 0.25),
        (6, "t2", False, None, 0.5),
    ]
    assert [row["rank_correlation"] for row in agree] == [-1.0]
    assert [tuple(row.values()) for row in worse] == [(1, "two words", "two words", "two birds")]


def write_quickstart(folder: Path) -> None:
    """Write a baseline t0, a t1 that is best on dev, and a t2 whose loss did not come back."""
    heard = {"t0": ("two words", "one lord"), "t1": ("two birds", "one word"), "t2": ("", "")}
    recoveries = {"t1": (4, 1.25, 2), "t2": (6, 1.5, None)}
    config = json.dumps({"corpus": {"dev_split": "dev", "test_split": "test"}})
    for number, (trial_id, hypotheses) in enumerate(heard.items()):
        with TableWriter(folder, sweep_id="s", trial_id=trial_id, attempt=0, seed=1) as writer:
            for reference, hypothesis in zip(("two words", "one word"), hypotheses, strict=True):
                wrong = int(reference != hypothesis)
                writer.add(
                    "utterances", step=9, split="test", utterance_id=reference, speaker="a",
                    language="en", reference=reference, hypothesis=hypothesis, num_ref_words=2,
                    substitutions=wrong, deletions=0, insertions=0, num_ref_chars=1, char_errors=0,
                )  # fmt: skip
            if trial_id in recoveries:
                step, spike_loss, recovery_steps = recoveries[trial_id]
                writer.add(
                    "recoveries", step=9, event=0, event_step=step, loss_before=1.0,
                    spike_loss=spike_loss, recovered=recovery_steps is not None,
                    recovery_steps=recovery_steps, window_steps=1,
                )  # fmt: skip
            if trial_id == "t1":
                write_scores(writer)
            writer.add(
                "trials", step=9, status="finished", is_baseline=trial_id == "t0",
                dev_wer=(0.5, 0.25, 0.75)[number], settings="{}", config=config,
            )  # fmt: skip


def write_scores(writer: TableWriter) -> None:
    """Write two scorers with opposite orders; the event followed the first one."""
    groups = ((0, "ff1", "dropped"), (0, "mhsa", "kept"), (1, "mhsa", "grown"))
    for scorer, sign in (("taylor", 1.0), ("magnitude", -1.0)):
        for score, (layer, kind, fate) in enumerate(groups):
            writer.add(
                "group_scores", step=4, event=0, scorer=scorer, applied=sign > 0, layer=layer,
                group_id=f"{layer}.{kind}", origin=f"{layer}.{kind}", kind=kind, group_index=0,
                score=sign * score, params=1, fate=fate,
            )  # fmt: skip


def test_the_example_query_leaves_out_plans_that_were_not_carried_out(tmp_path: Path) -> None:
    fates = ("kept", "dropped", "grown", "kept")
    with TableWriter(tmp_path, sweep_id="s", trial_id="t03", attempt=0, seed=1) as writer:
        for scorer, applied in (("taylor", True), ("gradient", False)):
            for index, fate in enumerate(fates if applied else reversed(fates)):
                writer.add(
                    "group_scores", step=5, event=0, scorer=scorer, applied=applied,
                    group_id=f"ff1.{index}", origin=f"ff1.{index}", layer=0, kind="ff1",
                    group_index=index, score=0.0, params=1, fate=fate,
                )  # fmt: skip
    query = README.partition('results.sql("""')[2].partition('"""')[0]
    found = open_results(tmp_path).sql(query).to_pylist()
    assert {row["fate"]: row["groups"] for row in found} == Counter(fates)
