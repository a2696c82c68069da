"""A class is found by module:Class, or one line says why not."""

import itertools
import subprocess
import sys
from pathlib import Path
from typing import Protocol

import pytest

from tuneprune.errors import ConfigError
from tuneprune.plugins import is_plugin, load_plugin, source_fingerprint

NUMBERS = itertools.count()


class Greeter(Protocol):
    """What is asked for in these tests."""

    def __init__(self, *, loud: bool) -> None: ...

    def greet(self, name: str, *, times: int) -> str: ...

    @classmethod
    def languages(cls) -> list[str]: ...


GOOD = """
class Hello:
    def __init__(self, *, loud, colour="none"):
        self.loud = loud
    def greet(self, whom, *, times):
        return f"hello {whom}" * times
    @classmethod
    def languages(cls):
        return ["en"]
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Return what writes a module into the working directory and returns its name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))

    def write(source: str) -> str:
        name = f"greeting_{next(NUMBERS)}"  # for modules are imported once in a process
        (tmp_path / f"{name}.py").write_text(source)
        return name

    return write


def refusal(name: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load_plugin("greeting.by", name, Greeter)
    line = str(caught.value)
    assert line.startswith(f"greeting.by = {name!r}: ")
    assert "\n" not in line
    return line.partition(": ")[2]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a:B", True),
        ("my_module:MyScore", True),
        ("package.module:Class", True),
        ("taylor", False),
        ("a:b:c", False),
        ("a.:B", False),
        (":B", False),
        ("a:", False),
        ("../a:B", False),
        ("a b:C", False),
        ("a:B\n", False),
    ],
)
def test_what_reads_like_a_plugin(name: str, expected: bool) -> None:
    assert is_plugin(name) is expected


def test_a_class_beside_the_settings_is_found(module) -> None:
    found = load_plugin("greeting.by", f"{module(GOOD)}:Hello", Greeter)
    assert found(loud=True).greet("you", times=2) == "hello youhello you"


def test_a_module_of_a_package_is_found(module, tmp_path: Path) -> None:
    name = module(GOOD)
    (tmp_path / f"package_{name}").mkdir()
    (tmp_path / f"{name}.py").rename(tmp_path / f"package_{name}" / "inner.py")
    assert load_plugin("greeting.by", f"package_{name}.inner:Hello", Greeter).__name__ == "Hello"


def test_a_console_script_finds_it_too(tmp_path: Path) -> None:
    """-P leaves the working directory out of the path, as for an installed script."""
    (tmp_path / "greeting.py").write_text(GOOD)
    script = (
        "import sys; sys.path.extend(sys.argv[1:]); from tuneprune.plugins import load_plugin; "
        "print(load_plugin('f', 'greeting:Hello', object).__name__)"
    )
    command = [sys.executable, "-P", "-c", script, str(Path(__file__).parents[1])]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("Hello\n", 0), done.stderr


def test_a_fingerprint_is_of_the_file_that_a_class_stands_in(module) -> None:
    one, same, other = (module(source) for source in (GOOD, GOOD, f"{GOOD}\n# changed\n"))
    found = [
        source_fingerprint(load_plugin("f", f"{name}:Hello", object)) for name in (one, same, other)
    ]
    assert found[0] == found[1] != found[2]
    assert all(len(fingerprint) == 16 for fingerprint in found)


def test_a_name_without_a_colon_is_refused() -> None:
    assert refusal("hello") == "must read module:Class"


def test_a_module_that_is_not_there_is_refused() -> None:
    remedy = "names no module; start the command where its file lies, or install it"
    assert refusal("not_there_at_all:Hello") == remedy
    assert refusal("not_there_at_all.inner:Hello") == remedy
    assert refusal("json.not_there:Hello") == remedy


def test_what_a_module_can_not_import_itself_is_named(module) -> None:
    name = module("import a_library_that_nobody_has\n")
    expected = (
        f"{name}.py, line 1: ModuleNotFoundError: No module named 'a_library_that_nobody_has'"
    )
    assert refusal(f"{name}:Hello") == f"can not be imported: {expected}"


def test_what_else_goes_wrong_in_a_module_is_named_with_its_line(module) -> None:
    name = module("x = 1\ny = x / 0\n")
    expected = f"{name}.py, line 2: ZeroDivisionError: division by zero"
    assert refusal(f"{name}:Hello") == f"can not be imported: {expected}"
    name = module("import sys\nsys.exit(0)\n")
    assert refusal(f"{name}:Hello") == f"can not be imported: {name}.py, line 2: SystemExit: 0"
    name = module("def broken(:\n")
    expected = f"SyntaxError: invalid syntax ({name}.py, line 1)"
    assert refusal(f"{name}:Hello") == f"can not be imported: {expected}"


def test_a_class_that_is_not_there_is_refused_with_the_one_that_was_meant(module) -> None:
    name = module(GOOD)
    expected = f"must be in {name}, where there is none"
    assert refusal(f"{name}:Hallo") == f"{expected}; did you mean Hello?"
    assert refusal(f"{name}:Zzz") == expected


def test_what_is_no_class_is_refused(module) -> None:
    assert refusal(f"{module('Hello = 3')}:Hello") == "must be a class, and is a int"


@pytest.mark.parametrize(
    ("old", "new", "lacking"),
    [
        ("greet(", "great(", "greet(name, *, times)"),
        ("times)", "often)", "greet(name, *, times)"),
        ("greet(self, whom, *, times)", "greet(self, *, times)", "greet(name, *, times)"),
        ("    @classmethod\n", "", "languages()"),
        ("*, loud,", "*, loud, pitch,", "a constructor that takes (*, loud)"),
    ],
    ids=["none", "another keyword", "too few", "not of the class", "constructor asks more"],
)
def test_a_class_without_a_method_or_its_arguments_is_refused(module, old, new, lacking) -> None:
    assert old in GOOD
    name = module(GOOD.replace(old, new))
    assert refusal(f"{name}:Hello") == f"must have {lacking}; see Greeter"


def test_a_method_left_abstract_or_taken_from_the_protocol_is_missing(module) -> None:
    abstract = GOOD.replace("class Hello", "import abc\nclass Hello(abc.ABC)")
    abstract = abstract.replace("    def greet", "    @abc.abstractmethod\n    def greet")
    expected = "must have greet(name, *, times); see Greeter"
    assert refusal(f"{module(abstract)}:Hello") == expected
    parent = "class Parent(Protocol):\n    def greet(self, name: str, *, times: int): ...\n"
    heir = GOOD.replace("class Hello", "class Hello(Parent)").replace("greet(", "great(")
    name = module(f"from typing import Protocol\n{parent}{heir}")
    protocol = load_plugin("f", f"{name}:Parent", object)
    with pytest.raises(ConfigError, match=r"must have greet\(name, \*, times\); see Parent"):
        load_plugin("f", f"{name}:Hello", protocol)
