"""The speaking process: the same lines give the same samples, and what it can not say is named."""

import itertools
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tuneprune.config import SynthesisConfig
from tuneprune.data import espeak
from tuneprune.data.espeak import SpokenLine, speak
from tuneprune.errors import CorpusError

pytest.importorskip("espeakng_loader", reason="needs the extra `synth`")


def line(text: str = "one two", *, voice: str = "en+f1", rate: int = 175, pitch: int = 50):
    return SpokenLine(text=text, voice=voice, rate_wpm=rate, pitch=pitch)


def spoken(*lines: SpokenLine) -> list[bytes]:
    return [speech.pcm for speech in speak(lines, voices=[])]


def test_the_same_lines_give_the_same_samples_at_another_second() -> None:
    # en+f2 and en+f3 breathe: their noise follows the clock unless it is seeded.
    lines = [line(voice=voice) for voice in ("en+f1", "en+f2", "en+f3", "en+klatt4", "en+f1")]
    first = spoken(*lines)
    time.sleep(1.01 - time.time() % 1)
    assert spoken(*lines) == first


def test_voice_rate_and_pitch_change_what_is_heard() -> None:
    changed = [line(), line(voice="en+m3"), line(voice="en-us+f1"), line(rate=200), line(pitch=60)]
    assert len({spoken(one)[0] for one in changed}) == len(changed)


def test_faster_speech_is_shorter() -> None:
    slow, fast = spoken(line(rate=120))[0], spoken(line(rate=240))[0]
    assert len(fast) < 0.7 * len(slow)


def test_the_ranges_are_those_espeak_keeps_to() -> None:
    low, high = espeak.PITCHES
    assert spoken(line(pitch=low)) == spoken(line(pitch=low - 1))
    assert spoken(line(pitch=high)) == spoken(line(pitch=high + 1))
    assert spoken(line(pitch=high)) != spoken(line(pitch=high - 1))
    slowest = espeak.RATES_WPM[0]
    assert spoken(line(rate=slowest)) == spoken(line(rate=slowest - 1))


def test_every_default_voice_is_one_of_its_own() -> None:
    voices = SynthesisConfig().voices
    assert len(list(speak([line(voice=voices[0])], voices=voices))) == 1


@pytest.mark.slow  # a process for each voice, as one sentence changes the next
def test_every_default_voice_sounds_different() -> None:
    heard = {voice: spoken(line(voice=voice))[0] for voice in SynthesisConfig().voices}
    alike = [pair for pair in itertools.combinations(heard, 2) if heard[pair[0]] == heard[pair[1]]]
    assert alike == []


def test_the_language_is_the_voices() -> None:
    lines = [line(voice=voice) for voice in ("en-us+f1", "fr+f2", "it+m3", "nl+f2")]
    assert [speech.language for speech in speak(lines, voices=[])] == ["en", "fr", "it", "nl"]


@pytest.mark.parametrize(
    ("voices", "message"),
    [
        (["en+f1", "xx-nosuch"], "'xx-nosuch': is not a voice of espeak-ng"),
        (["fr-fr+f2"], r"'fr-fr\+f2': is not a voice of espeak-ng"),
        (["en-gb+f2"], r"'en-gb\+f2': is not a voice of espeak-ng"),
        (["en+nosuch"], r"'en\+nosuch': has a variant '\+nosuch' that espeak-ng does not know"),
        (["en+f1", "en+f2", "en+f1"], r"'en\+f1': is the same voice as 'en\+f1'"),
        (["en-gb-x-rp", "gmw/en-GB-x-rp"], "is the same voice as 'en-gb-x-rp'"),
    ],
)
def test_a_voice_that_would_not_be_heard_is_refused(voices: list[str], message: str) -> None:
    with pytest.raises(CorpusError, match=message):
        list(speak([line()], voices=voices))


def test_a_line_that_makes_no_sound_is_named() -> None:
    with pytest.raises(CorpusError, match=r"words = ' ': is silent"):
        list(speak([line(), line(" ")], voices=[]))


def test_a_process_that_dies_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho first >&2; echo no such library >&2; exit 1\n")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    many = [line("one two " * 20)] * 1000  # more than a pipe holds, so that writing fails too
    with pytest.raises(CorpusError, match=r"made espeak-ng stop \(no such library\)"):
        list(speak(many, voices=[]))


def test_a_missing_package_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(espeak.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(CorpusError, match=r"pip install tuneprune\[synth\]"):
        list(speak([line()], voices=[]))


def test_the_process_is_found_from_any_folder_by_the_path_of_its_parent(tmp_path: Path) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit('a module of the folder was taken')")
    repo = Path(espeak.__file__).parents[2]
    code = (
        f"import sys; sys.path.insert(0, {str(repo)!r})\n"
        "from tuneprune.data.espeak import SpokenLine, speak\n"
        "line = SpokenLine(text='one', voice='en+f1', rate_wpm=175, pitch=50)\n"
        "print(len(next(speak([line], voices=[])).pcm) > 1000)"
    )
    command = [sys.executable, "-P", "-c", code]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (result.stdout.strip(), result.stderr) == ("True", "")
