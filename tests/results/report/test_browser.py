"""The page as a person meets it in a browser: sorted, filtered, narrow, dark, printed."""

import json
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

TRIALS = "[...document.querySelectorAll('#trials-table tbody tr')].filter(row => !row.hidden)"
NAMES = f"{TRIALS}.map(row => row.querySelector('a').textContent)"
DEV_WER = "#trials-table thead th:nth-child(5) button"

# Contrast of each word with the nearest colour behind it, below 4.5.
PALE = """
(() => {
  const rgba = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = (text) => {
    const [r, g, b] = rgba(text).map((c) => c / 255)
      .map((c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (one) => {
    for (; one; one = one.parentElement) {
      const colour = getComputedStyle(one).backgroundColor;
      if (rgba(colour)[3] !== 0) return colour;
    }
    return "rgb(255, 255, 255)";
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const pale = [];
  while (walker.nextNode()) {
    const one = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || one.closest("svg, script")) continue;
    const [low, high] = [light(getComputedStyle(one).color), light(behind(one))].sort((a, b) => a - b);
    if ((high + 0.05) / (low + 0.05) < 4.5) pale.push([one.outerHTML.slice(0, 80)]);
  }
  return pale;
})()
"""  # noqa: E501


@pytest.fixture
def opened(page: Any, report: Path) -> Any:
    page.look(width=1200)
    page.open(report)
    return page


def test_it_opens_without_a_complaint_and_fetches_nothing(opened: Any) -> None:
    assert opened.problems == []
    addresses = [one for one in opened.requested if not one.startswith("data:")]
    assert len(addresses) == 1
    assert addresses[0].startswith("file:")


def test_a_click_on_a_header_sorts_and_a_second_one_turns_it_round(opened: Any) -> None:
    assert opened.run(NAMES) == ["t2", "baseline", "t1", "t3", "t4"]
    opened.click(DEV_WER)
    opened.click(DEV_WER)
    # t4 has no number and stays last
    assert opened.run(NAMES) == ["t3", "t1", "baseline", "t2", "t4"]
    sort = "[...document.querySelectorAll('#trials-table th')].map(th => th.ariaSort)"
    assert [one for one in opened.run(sort) if one] == ["descending"]


@pytest.mark.parametrize("key", ["Enter", " "])
def test_the_table_is_sorted_by_keyboard(opened: Any, key: str) -> None:
    opened.run("document.getElementById('status').focus()")
    for _ in range(3):  # the table's box, its first header, its second
        opened.press("Tab")
    assert opened.run("document.activeElement.textContent") == "status"
    opened.press(key)
    assert opened.run(NAMES)[0] == "t4"  # failed comes before finished
    assert opened.run("document.activeElement.closest('th').ariaSort") == "ascending"


def test_words_filter_trials_and_so_does_the_status(opened: Any) -> None:
    opened.click("#filter")
    opened.write("TAYLOR 0.2")
    assert opened.run(NAMES) == ["t2"]
    assert opened.run("document.getElementById('shown').textContent") == "1 of 5 shown"
    opened.run("document.getElementById('filter').value = ''")
    opened.run(
        "(() => { const one = document.getElementById('status'); one.value = 'failed';"
        "one.dispatchEvent(new Event('change')); })()"
    )
    assert opened.run(NAMES) == ["t4"]


def test_a_trial_leads_to_its_settings(opened: Any) -> None:
    opened.click("#trials-table tbody a")
    assert opened.run("location.hash") == "#trial-0"
    assert opened.run("document.querySelector('#trial-0').closest('details').open")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1200])
def test_it_is_never_wider_than_the_window_and_every_word_can_be_read(
    page: Any, report: Path, width: int, scheme: str
) -> None:
    page.look(width=width, scheme=scheme)
    page.open(report)
    page.run("document.querySelectorAll('details').forEach(one => { one.open = true; })")
    assert page.run("document.documentElement.scrollWidth") <= width
    assert page.run(PALE) == []


def test_what_can_be_operated_or_seen_has_a_name(opened: Any) -> None:
    nodes = opened.call("Accessibility.getFullAXTree")["nodes"]
    roles = {"button", "link", "searchbox", "combobox", "image", "region", "navigation", "table"}
    seen: dict[str, list[str]] = {}
    for node in nodes:
        role = node.get("role", {}).get("value")
        if role in roles and not node["ignored"]:
            seen.setdefault(role, []).append(node.get("name", {}).get("value", ""))
    assert seen.keys() == roles
    assert [role for role, names in seen.items() if not all(names)] == []


def test_no_table_is_cut_off_in_print(page: Any, report: Path, tmp_path: Path) -> None:
    page.look(width=703)  # A4 less its margins
    page.call("Emulation.setEmulatedMedia", media="print")
    page.open(report)
    wide = "[...document.querySelectorAll('table, svg, pre')]"
    assert max(page.run(f"{wide}.map(one => one.getBoundingClientRect().right)")) <= 703
    page.printed(tmp_path / "report.pdf")
    assert (tmp_path / "report.pdf").read_bytes().startswith(b"%PDF")


def test_without_script_it_is_a_plain_table(page: Any, report: Path) -> None:
    page.call("Emulation.setScriptExecutionDisabled", value=True)
    page.look(width=1200)
    page.open(report)
    document = page.call("DOM.getDocument", depth=-1)
    text = json.dumps(document)
    assert "trials-table" in text
    buttons = page.call(
        "DOM.querySelectorAll", nodeId=document["root"]["nodeId"], selector="button"
    )
    assert buttons["nodeIds"] == []
