"""A sweep's folder is given to one sweep, and what it holds is never overwritten."""

import errno
import json
import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from tuneprune.errors import ResultsError
from tuneprune.sweep.folder import (
    begin_sweep,
    check_plugin_sources,
    check_versions,
    contents_of,
    end_sweep,
    legal_name,
    make_room,
    open_folder,
    read_sweep_file,
)
from tuneprune.sweep.space import build_space


@pytest.fixture
def space(settings):
    return build_space(settings)


def test_there_is_room_in_a_new_or_empty_folder(tmp_path, space):
    assert open_folder(tmp_path / "new", contents_of(space), restart=False) is None
    assert open_folder(tmp_path, contents_of(space), restart=False) is None
    assert not (tmp_path / "new").exists()


def test_a_finished_sweep_of_the_space_is_returned(tmp_path, space):
    begun = begin_sweep(tmp_path / "a", contents_of(space))
    ended = end_sweep(tmp_path / "a", begun.sweep_id)
    held = open_folder(tmp_path / "a", contents_of(space), restart=False)
    assert held == ended
    assert held.sweep_id == begun.sweep_id
    assert held.finished_s >= held.started_s


def test_an_unfinished_sweep_of_the_space_is_returned_to_be_gone_on_with(tmp_path, space):
    begun = begin_sweep(tmp_path, contents_of(space))
    assert open_folder(tmp_path, contents_of(space), restart=False) == begun
    check_versions(tmp_path)


def test_what_other_versions_began_is_not_gone_on_with(tmp_path, space, refusal):
    begin_sweep(tmp_path, contents_of(space))
    sweep = json.loads((tmp_path / "sweep.json").read_text())
    sweep["packages"]["torch"] = "1.0"
    (tmp_path / "sweep.json").write_text(json.dumps(sweep))
    text = refusal(check_versions, tmp_path)
    assert "begun with torch 1.0, and this is" in text
    assert "--restart" in text


def test_a_plugin_that_has_changed_is_not_gone_on_with(tmp_path, space, refusal):
    begin_sweep(tmp_path, contents_of(space), {"a:A": "1", "b:B": "2"})
    check_plugin_sources(tmp_path, {"a:A": "1", "b:B": "2"})
    check_plugin_sources(tmp_path, {"b:B": "2"})
    text = refusal(check_plugin_sources, tmp_path, {"a:A": "1", "b:B": "3"})
    assert "begun with another version of b:B" in text
    assert "--restart" in text


def test_another_sweep_is_refused_by_name(tmp_path, settings, space, refusal):
    begun = begin_sweep(tmp_path, contents_of(space))
    end_sweep(tmp_path, begun.sweep_id)
    settings["base"]["seed"] = 5
    text = refusal(open_folder, tmp_path, contents_of(build_space(settings)), restart=False)
    assert f"another sweep (small {begun.fingerprint[:8]}): base.seed is 1 there, 5 here;" in text


def test_a_sweep_of_other_ranges_is_refused_by_the_first_that_differs(
    tmp_path, settings, space, refusal
):
    begin_sweep(tmp_path, contents_of(space))
    del settings["search"]["space"]["adaptation.at"]
    settings["search"]["set"]["adaptation.at"] = 0.2
    settings["question"] = "Something else?"
    text = refusal(open_folder, tmp_path, contents_of(build_space(settings)), restart=False)
    assert "search.set.adaptation.at is null there, 0.2 here;" in text


def test_a_sweep_of_the_same_ranges_in_another_order_is_another(tmp_path, settings, space, refusal):
    begin_sweep(tmp_path, contents_of(space))
    ranges = settings["search"]["space"]
    ranges["adaptation.delta"] = ranges.pop("adaptation.delta")
    text = refusal(open_folder, tmp_path, contents_of(build_space(settings)), restart=False)
    assert "its settings are the same, in another order;" in text


def test_a_folder_that_could_not_be_written_is_refused_before_any_work(
    tmp_path, space, refusal, monkeypatch
):
    (tmp_path / "file").write_text("")
    text = refusal(open_folder, tmp_path / "file" / "a" / "b", contents_of(space), restart=False)
    assert text.endswith(f"can not be written ({tmp_path / 'file'} is no folder)")
    begin_sweep(tmp_path / "held", contents_of(space))
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path)  # as of another user
    for out, restart in ((tmp_path / "new", False), (tmp_path / "held", True)):
        text = refusal(open_folder, out, contents_of(space), restart=restart)
        assert text.endswith(f"can not be written ({tmp_path} allows no writing)")


@pytest.mark.parametrize("restart", [True, False])
def test_a_folder_of_something_else_is_refused_even_on_restart(tmp_path, space, restart):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(ResultsError, match="not a sweep"):
        open_folder(tmp_path, contents_of(space), restart=restart)


@pytest.mark.parametrize(
    ("content", "said"), [("{", "damaged"), ("[]", "version None"), ('{"version": 9}', "version 9")]
)
def test_a_damaged_or_newer_sweep_file_is_refused(tmp_path, space, content, said):
    (tmp_path / "sweep.json").write_text(content)
    with pytest.raises(ResultsError, match=said):
        open_folder(tmp_path, contents_of(space), restart=False)


def test_restart_moves_the_old_folder_aside_and_keeps_it(tmp_path, space):
    out = tmp_path / "a"
    moved = []
    for _ in range(2):
        begin_sweep(out, contents_of(space))
        assert open_folder(out, contents_of(space), restart=True) is None
        moved.append(make_room(out))
    assert [path.name for path in moved] == ["a.1", "a.2"]
    assert all(read_sweep_file(path).name == "small" for path in moved)
    assert make_room(out) is None


def test_the_sweep_file_says_what_was_run(tmp_path, space):
    begin_sweep(tmp_path, contents_of(space))
    held = json.loads((tmp_path / "sweep.json").read_text())
    assert build_space(held["space"]) == space
    assert held["packages"]["ray"].startswith("2.")
    assert held["finished_s"] is None
    assert held["trials"] == 5


def test_a_folder_that_can_not_be_made_is_one_line(tmp_path, space, refusal):
    (tmp_path / "file").write_text("")
    assert "can not be written" in refusal(
        begin_sweep, tmp_path / "file" / "out", contents_of(space)
    )


@pytest.fixture(params=["links", "no links"])
def file_system(request, monkeypatch):
    """Run a test also where files can not have two names."""

    def refuse(source, target):
        if os.path.exists(target):
            raise FileExistsError(errno.EEXIST, "File exists")
        raise PermissionError(errno.EPERM, "Operation not permitted")

    if request.param == "no links":
        monkeypatch.setattr(os, "link", refuse)


@pytest.mark.usefixtures("file_system")
def test_of_many_that_begin_in_one_folder_one_gets_it(tmp_path, space):
    def begin(_):
        try:
            return begin_sweep(tmp_path / "a", contents_of(space)).sweep_id
        except ResultsError as error:
            assert "was begun by another process meanwhile" in str(error)  # noqa: PT017  most do
            return None

    with ThreadPoolExecutor(8) as pool:
        got = [one for one in pool.map(begin, range(16)) if one]
    assert got == [read_sweep_file(tmp_path / "a").sweep_id]
    assert os.listdir(tmp_path / "a") == ["sweep.json"]  # nothing half-written stays


def test_two_sweeps_of_one_second_have_two_ids(tmp_path, space):
    ids = {begin_sweep(tmp_path / str(n), contents_of(space)).sweep_id for n in range(5)}
    assert len(ids) == 5
    for one in ids:
        name, day, time, digits = one.split("-")
        assert (name, len(day), len(time), len(bytes.fromhex(digits))) == ("small", 8, 6, 3)


def test_a_folder_that_was_taken_meanwhile_is_not_ended(tmp_path, space, refusal):
    out = tmp_path / "a"
    ours = begin_sweep(out, contents_of(space))
    make_room(out)
    theirs = begin_sweep(out, contents_of(space))
    text = refusal(end_sweep, out, ours.sweep_id)
    assert theirs.sweep_id in text
    assert read_sweep_file(out).finished_s is None
    make_room(out)
    assert "not a sweep" in refusal(end_sweep, out, ours.sweep_id)


@pytest.mark.parametrize(
    ("stem", "name"),
    [
        ("an4_baseline.v2", "an4_baseline.v2"),
        ("my run (2)", "my-run-2"),
        ("-x", "x"),
        (".hidden", "hidden"),
        ("größe", "gr-e"),
        ("日本", "run"),
    ],
)
def test_any_name_becomes_one_that_results_can_carry(stem, name):
    assert legal_name(stem) == name


def test_every_baseline_of_a_grid_is_counted(settings):
    settings["search"] = {
        "sampler": {"kind": "grid"},
        "set": {"adaptation.method": "grow_drop", "adaptation.at": 0.2, "adaptation.delta": 0.2},
        "space": {
            "seed": {"choice": [1, 2, 3]},
            "adaptation.scorer": {"choice": ["gradient", "taylor"]},
        },
    }
    assert contents_of(build_space(settings)).trials == 3 + 6
