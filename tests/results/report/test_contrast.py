"""Words can be read on what lies behind them: WCAG 2's contrast of the colours in the CSS."""

import re
from importlib import resources

import pytest

CSS = resources.files("tuneprune.results.report").joinpath("page.css").read_text("utf-8")
BLOCKS = re.findall(r":root \{(.*?)\}", CSS, flags=re.DOTALL)
PALETTES = [dict(re.findall(r"--(\w+): (#\w{6})", block)) for block in BLOCKS]


def luminance(colour: str) -> float:
    channels = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_contrast_is_that_of_the_standard() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.005)  # as WebAIM has it


@pytest.mark.parametrize("palette", PALETTES, ids=["light", "dark", "print"])
def test_each_colour_of_words_is_readable_on_paper_and_on_bands(palette: dict[str, str]) -> None:
    for name in ("ink", "soft", "link", "good", "bad", "wait"):
        for behind in ("paper", "band"):
            assert contrast(palette[name], palette[behind]) >= 4.5, (name, behind)


def test_there_are_no_other_colours() -> None:
    others = set(re.findall(r"#[0-9a-fA-F]{3,8}\b", re.sub(r":root \{.*?\}", "", CSS, flags=re.S)))
    assert others == {"#ffffff"}  # the paper of pictures
