"""A command that is printed works when it is copied into the same shell."""

import shlex
import shutil
import subprocess
import sys

import pytest

from tuneprune.sweep.commands import shell_command


@pytest.fixture
def unknown(monkeypatch, tmp_path):
    """Make ``tuneprune`` unknown to the shell; the present folder is empty."""
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def called_as(monkeypatch, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    monkeypatch.setattr(sys, "argv", [str(path)])


def test_a_program_that_the_shell_finds_goes_by_its_name(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    assert shell_command("tuneprune", "results", "show", 3) == "tuneprune results show 3"


@pytest.mark.parametrize(
    ("place", "typed"),
    [(".venv/bin/tuneprune", ".venv/bin/tuneprune"), ("tuneprune", "./tuneprune")],
)
def test_else_it_is_what_was_called_below_this_folder(monkeypatch, unknown, place, typed):
    called_as(monkeypatch, unknown / place)
    assert shell_command("tuneprune", "results") == f"{typed} results"


def test_what_was_called_elsewhere_is_named_in_full(monkeypatch, unknown):
    program = unknown.parent / "else where" / "tuneprune"
    called_as(monkeypatch, program)
    assert shlex.split(shell_command("tuneprune")) == [str(program)]


def test_called_as_a_module_it_is_the_interpreter_and_works(monkeypatch, unknown):
    monkeypatch.setattr(sys, "argv", ["/somewhere/tuneprune/__main__.py"])
    command = shell_command("tuneprune", "--help")
    assert command.endswith(" -m tuneprune --help")
    done = subprocess.run(command, shell=True, cwd=unknown, capture_output=True, check=True)
    assert b"Usage" in done.stdout


@pytest.mark.parametrize("part", ["a b", "it's", "$HOME", "*", 'say "x"', ""])
def test_arguments_reach_the_program_as_they_are(part):
    assert shlex.split(shell_command("echo", part)) == ["echo", part]
