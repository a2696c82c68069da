"""The page is whole, needs nothing from outside, and takes no text for markup."""

import json
from collections import Counter
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tuneprune.errors import ResultsError
from tuneprune.results.reader import Results, open_results
from tuneprune.results.report import report_html, write_report

VOID = ("meta", "input")
HEADINGS = ("h1", "h2", "h3", "h4")


class Read(HTMLParser):
    """What is in a page, as a reader of HTML that is not ours sees it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.open: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.text: dict[str, list[str]] = {}
        self.headings: list[int] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag in HEADINGS:
            self.headings.append(int(tag[1]))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.setdefault(self.open[-1] if self.open else "", []).append(data)

    def values(self, name: str) -> list[str]:
        return [value for _, one, value in self.attributes if one == name]


@pytest.fixture
def read(report: Path) -> Read:
    return Read(report.read_text(encoding="utf-8"))


def test_every_element_is_closed_and_ids_are_there_once(read: Read) -> None:
    assert read.open == []
    assert [name for name, count in Counter(read.values("id")).items() if count > 1] == []


def test_links_lead_into_the_page_and_nothing_is_fetched(report: Path, read: Read) -> None:
    inside = {f"#{name}" for name in read.values("id")}
    links = [*read.values("href"), *read.values("xlink:href")]
    assert all(link in inside or link.startswith("data:") for link in links)
    assert read.values("src") == []
    assert read.tags["link"] == 0
    text = report.read_text(encoding="utf-8")
    assert "@import" not in text
    assert "//" not in "".join(read.text["style"])


def test_headings_are_in_order_and_landmarks_are_there(read: Read) -> None:
    assert read.headings[0] == 1
    assert read.headings.count(1) == 1
    assert all(b - a <= 1 for a, b in zip(read.headings, read.headings[1:], strict=False))
    for one in ("header", "nav", "main", "footer"):
        assert read.tags[one] == 1


def test_no_text_of_a_sweep_becomes_markup(read: Read) -> None:
    assert read.tags["script"] == 1
    assert read.tags["b"] == 0
    said = "".join("".join(texts) for texts in read.text.values())
    assert said.count('<script>alert("1")</script> & <b>') >= 5  # question, setting, reason, ...
    assert "\x1b" not in said


def test_each_picture_says_what_it_shows(read: Read) -> None:
    roles = [(tag, value) for tag, name, value in read.attributes if name == "role"]
    labels = [value for tag, name, value in read.attributes if (tag, name) == ("svg", "aria-label")]
    assert roles.count(("svg", "img")) == read.tags["svg"] == len(labels) >= 5
    curves = next(label for label in labels if label.startswith("Learning curves"))
    assert "word error rate on dev (%)" in curves
    assert "best trial t2" in curves


def test_what_there_is_no_picture_of_is_named_with_the_reason(read: Read) -> None:
    items = "\n".join(read.text["li"])
    assert "Which settings mattered: find_importance = None" in items
    assert "Scores of groups, and what was grown and dropped: " in items


def test_steps_and_times_are_those_of_the_tables(read: Read) -> None:
    facts = read.text["dd"]
    assert "75 executed of 120 asked for, without 1 trial that did not end" in facts
    assert "1 failed, 4 finished" in facts
    assert "2023-11-14 22:13 UTC" in facts  # `date -u -d @1700000000`
    assert "1 h 00 min" in facts
    assert "python 3.11.7, torch 2.14.1" in facts


def test_masks_have_a_section_where_there_are_some(masked: Path, tmp_path: Path) -> None:
    read = Read(report_html(open_results(masked)))
    (said,) = [text for text in read.text["p"] if "with masks" in text]
    assert said == "Of t1, the best trial with masks, after 3 events."
    cells = " ".join([*read.text["th"], *read.text["td"]])
    assert "en fr" in cells
    assert "2 10 5 50.0 % 2 10 6 60.0 % 3 37.5 % 60.0 % 50.0 %" in cells
    (label,) = [one for one in read.values("aria-label") if one.startswith("Masks of t1")]
    assert "Panel: overlap of languages" in label
    assert "Panel: steps, churn (% of blocks)" in label


def test_without_masks_there_is_nothing_of_them(read: Read) -> None:
    assert not [text for texts in read.text.values() for text in texts if "mask" in text.lower()]


def test_subnets_have_a_section_where_there_are_some(supernets: Path) -> None:
    read = Read(report_html(open_results(supernets)))
    assert "t1 t1/4 t1/2 t2 t2/4 t2/2" in " ".join(read.text["th"])
    numbers = " ".join(read.text["td"])
    assert "8 1,000 100.0 % 50.0 % 10.0 % 4 670 67.0 % 60.0 % 15.0 % 2 520 52.0 % " in numbers
    labels = read.values("aria-label")
    assert [one for one in labels if one.startswith("Modules that the subnets of 2 trials keep")]
    assert [one for one in labels if one.startswith("Word error rate on test over size")]


def test_without_subnets_there_is_nothing_of_them(read: Read) -> None:
    assert not [text for texts in read.text.values() for text in texts if "subnet" in text.lower()]


def test_the_same_tables_give_the_same_bytes(sweep: Results, tmp_path: Path) -> None:
    for name in ("a.html", "b.html"):
        write_report(open_results(sweep.path), tmp_path / name)
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()


def test_a_sweep_without_sweep_json_still_has_a_report(sweep: Results) -> None:
    (sweep.path / "sweep.json").unlink()
    text = report_html(sweep)
    assert "Sweep s" in text
    assert "tuneprune train trial.yaml --out results/s_t2" in text


def test_a_sweep_in_which_nothing_has_finished_says_so(
    tmp_path: Path, trial_writer: Callable[..., None]
) -> None:
    trial_writer("t1", status="running", dev_wer=None, wers=())
    text = report_html(open_results(tmp_path))
    assert "No trial has finished: there is no answer yet." in text


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("report.pdf", "must be a file that ends in .html"),
        ("blocked/report.html", "can not be written"),
    ],
)
def test_a_file_that_can_not_be_written_is_one_line_and_leaves_nothing(
    sweep: Results, tmp_path: Path, name: str, message: str
) -> None:
    (tmp_path / "blocked").write_text("a file")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ResultsError, match=message):
        write_report(sweep, tmp_path / name)
    assert sorted(tmp_path.rglob("*")) == before


def test_several_sweeps_are_refused(tmp_path: Path, trial_writer: Callable[..., None]) -> None:
    for name in ("a", "b"):
        trial_writer("t1", folder=name, sweep_id=name)
    with pytest.raises(ResultsError, match="must be the folder of one sweep; it holds a, b"):
        report_html(open_results(tmp_path))


@pytest.mark.parametrize("content", ["{", json.dumps([1])])
def test_a_damaged_sweep_json_is_one_line(sweep: Results, content: str) -> None:
    (sweep.path / "sweep.json").write_text(content, encoding="utf-8")
    with pytest.raises(ResultsError, match="can not be read as JSON"):
        report_html(sweep)


def test_stopping_a_trial_is_no_sharing(tmp_path: Path, trial_writer: Callable[..., None]) -> None:
    trial_writer("t1", executed_steps=30, total_steps=30)
    trial_writer("t2", status="stopped", executed_steps=5, total_steps=30, wers=(0.5,))
    found = Read(report_html(open_results(tmp_path))).text["dd"]
    assert "35 executed of 40 asked for" in found
    assert "not all trials have ended" not in found
