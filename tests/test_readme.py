"""The README names what there is, and its example query counts what happened."""

import re
from collections import Counter
from pathlib import Path

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
