"""The door to espeak-ng: speaks lines of text in a process of its own.

The library keeps state from one sentence to the next, so only the same lines in the same order in
a fresh process give the same samples. That process is this module itself, run with ``python -m``:
it reads JSON and writes JSON and samples, and imports little, so that it starts in no time.
"""

import contextlib
import ctypes
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Generator, Sequence
from dataclasses import asdict, dataclass
from typing import IO, BinaryIO, NoReturn, cast

from tuneprune.errors import CorpusError

RATES_WPM = (80, 450)
PITCHES = (0, 99)

_VOICES_FIELD = "corpus.synthesis.voices"


@dataclass(frozen=True, kw_only=True, slots=True)
class SpokenLine:
    """What is said and how; ``rate_wpm`` in ``RATES_WPM``, ``pitch`` in ``PITCHES``."""

    text: str
    voice: str
    rate_wpm: int
    pitch: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Speech:
    """What became of a line: ``pcm`` holds native 16-bit samples, one channel."""

    pcm: bytes
    sample_rate_hz: int
    language: str


def speak(lines: Sequence[SpokenLine], *, voices: Sequence[str]) -> Generator[Speech, None, None]:
    """Speak ``lines`` in order in one fresh process, and yield each as it is done.

    Args:
        lines: what to say.
        voices: voices to check, and against each other, before the first word is said.

    Raises:
        CorpusError: espeak-ng is not installed, a voice is unknown or the same as another, a line
            comes out silent, or the process dies.
    """
    if importlib.util.find_spec("espeakng_loader") is None:
        remedy = "needs espeak-ng, which is not installed; run `pip install tuneprune[synth]`"
        raise CorpusError("corpus.synthesis", "espeak-ng", remedy)
    request = {"voices": list(voices), "lines": [asdict(line) for line in lines]}
    with (
        tempfile.TemporaryFile() as complaints,
        subprocess.Popen(
            [sys.executable, "-m", "tuneprune.data.espeak"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=complaints,
            env=_child_environment(),
        ) as child,
    ):
        to_child, from_child = cast(BinaryIO, child.stdin), cast(BinaryIO, child.stdout)
        with contextlib.suppress(BrokenPipeError):  # it died early: its complaint says why
            to_child.write(json.dumps(request).encode())
            to_child.close()
        for line in lines:
            yield _receive(line, from_child, complaints)


def _child_environment() -> dict[str, str]:
    """Return an environment in which a child finds the modules that this process finds.

    A Ray worker adds to ``sys.path`` after it has started, which a child would not inherit.
    """
    paths = os.pathsep.join(path or os.getcwd() for path in sys.path)
    return {**os.environ, "PYTHONPATH": paths, "PYTHONSAFEPATH": "1"}


def _receive(line: SpokenLine, from_child: BinaryIO, complaints: IO[bytes]) -> Speech:
    header = json.loads(from_child.readline() or b"null")
    if header is None:
        _stopped(line, complaints)
    if "error" in header:
        raise CorpusError(*header["error"])
    pcm = from_child.read(header["num_bytes"])
    if len(pcm) < header["num_bytes"]:
        _stopped(line, complaints)
    if not any(pcm):
        remedy = f"is silent when {line.voice} says it; take other words"
        raise CorpusError("corpus.synthesis.words", line.text, remedy)
    return Speech(pcm=pcm, sample_rate_hz=header["sample_rate_hz"], language=header["language"])


def _stopped(line: SpokenLine, complaints: IO[bytes]) -> NoReturn:
    complaints.seek(0)
    last = complaints.read().decode(errors="replace").strip().rpartition("\n")[2]
    reason = f"made espeak-ng stop ({last or 'it gave no reason'})"
    raise CorpusError("corpus.synthesis", f"{line.voice}: {line.text}", reason)


# From here on: the process that speaks.


class _Voice(ctypes.Structure):
    """espeak_VOICE of espeak-ng's speak_lib.h."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("languages", ctypes.c_char_p),  # a priority byte before the code
        ("identifier", ctypes.c_char_p),  # ends in +variant if one is in use
        ("gender", ctypes.c_ubyte),
        ("age", ctypes.c_ubyte),
        ("variant", ctypes.c_ubyte),
        ("reserved", ctypes.c_ubyte),
        ("score", ctypes.c_int),
        ("spare", ctypes.c_void_p),
    )


class _Espeak:
    """The library behind ctypes. One a process: its state is global."""

    _SYNCHRONOUS, _DO_NOT_EXIT, _UTF8, _RATE, _PITCH = 2, 0x8000, 1, 1, 3

    def __init__(self) -> None:
        import espeakng_loader

        self._library = ctypes.CDLL(espeakng_loader.get_library_path())
        self._library.espeak_GetCurrentVoice.restype = ctypes.POINTER(_Voice)
        data_path = espeakng_loader.get_data_path().encode()
        self.sample_rate_hz: int = self._library.espeak_Initialize(
            self._SYNCHRONOUS, 0, data_path, self._DO_NOT_EXIT
        )
        if self.sample_rate_hz <= 0:
            raise CorpusError("corpus.synthesis", "espeak-ng", "can not find its data; reinstall")
        # Some voices breathe (en+f2, en+f3): random noise, which is else seeded by the clock.
        self._library.espeak_ng_SetRandSeed(ctypes.c_long(1))
        self._chunks: list[bytes] = []
        kind = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)
        self._callback = kind(self._collect)  # kept: the library holds no reference
        self._library.espeak_SetSynthCallback(self._callback)

    def use_voice(self, name: str) -> tuple[str, str]:
        """Select a voice; return what the library calls it, and its language (``en``)."""
        if self._library.espeak_SetVoiceByName(name.encode()) != 0:
            remedy = "is not a voice of espeak-ng; `en+f1`, `en-us+m3` and `fr+f2` are"
            raise CorpusError(_VOICES_FIELD, name, remedy)
        current = self._library.espeak_GetCurrentVoice().contents
        identifier = current.identifier.decode()
        _, plus, variant = name.partition("+")
        if plus and not identifier.endswith(f"+{variant}"):
            remedy = f"has a variant '+{variant}' that espeak-ng does not know and would leave out"
            raise CorpusError(_VOICES_FIELD, name, remedy)
        return identifier, current.languages[1:].decode().partition("-")[0]

    def say(self, text: str, *, rate_wpm: int, pitch: int) -> bytes:
        """Return ``text`` in the selected voice as native int16 samples."""
        self._library.espeak_SetParameter(self._RATE, rate_wpm, 0)
        self._library.espeak_SetParameter(self._PITCH, pitch, 0)
        self._chunks.clear()
        encoded = text.encode() + b"\0"
        size = ctypes.c_size_t(len(encoded))
        self._library.espeak_Synth(encoded, size, 0, 1, 0, self._UTF8, None, None)
        return b"".join(self._chunks)

    def _collect(self, samples: int | None, count: int, _events: int | None) -> int:
        if samples and count > 0:
            self._chunks.append(ctypes.string_at(samples, 2 * count))
        return 0


def _check_voices(espeak: _Espeak, voices: Sequence[str]) -> None:
    """Refuse unknown voices, and two names for one voice."""
    named: dict[str, str] = {}
    for voice in voices:
        identifier, _ = espeak.use_voice(voice)
        if identifier in named:
            raise CorpusError(_VOICES_FIELD, voice, f"is the same voice as '{named[identifier]}'")
        named[identifier] = voice


def _serve(request: IO[str], reply: BinaryIO) -> None:
    """Speak the request: for every line a JSON header, then its samples."""
    asked = json.load(request)
    try:
        espeak = _Espeak()
        _check_voices(espeak, asked["voices"])
        for line in asked["lines"]:
            _, language = espeak.use_voice(line["voice"])
            pcm = espeak.say(line["text"], rate_wpm=line["rate_wpm"], pitch=line["pitch"])
            header = {
                "num_bytes": len(pcm),
                "sample_rate_hz": espeak.sample_rate_hz,
                "language": language,
            }
            reply.write(json.dumps(header).encode() + b"\n" + pcm)
    except CorpusError as error:
        reason = [error.field, str(error.value), error.remedy]
        reply.write(json.dumps({"error": reason}).encode() + b"\n")
    reply.flush()


if __name__ == "__main__":
    _serve(sys.stdin, sys.stdout.buffer)
