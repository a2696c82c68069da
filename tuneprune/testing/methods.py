"""The suite of an adaptation method: whether its hook keeps the contract of the training loop."""

import copy
import math
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import torch

from tuneprune.adaptation import AdaptationEvent, AdaptationMethod
from tuneprune.structure import AdaptationPlan, PrunableModule, all_groups, check_modules
from tuneprune.testing.conformance import ConformanceError, require
from tuneprune.testing.dummies import TinyAdaptable
from tuneprune.testing.survivors import check_survivors
from tuneprune.testing.tiny_run import TOTAL_STEPS, MakeHook, Snapshot, TinyRun

T = TypeVar("T")

OTHER_SEED = 2**20 + 7
"""Of the global generators in a second run, which must not go by them."""


def check_method(make: MakeHook, *, survivors_are_exact: bool = True) -> None:
    """Check the hook of a method in short runs of a small model, of 12 steps each.

    Args:
        make: makes the hook, with settings by which it changes the model within 12 steps; of a
            plug-in ``functools.partial(MyMethod, settings={...})``.
        survivors_are_exact: groups that stay, and are not grown, keep weights and optimizer state
            bit for bit; False for a method that rescales them or begins anew on purpose.

    Raises:
        ConformanceError: the first thing that it does not do.
    """
    with _one_thread():
        whole = _check_every_step(make, survivors_are_exact=survivors_are_exact)
        _check_repeats(make, whole)
        _check_resumes(make, whole)
        first = whole.events[0].step
        _check_empty_plan(make, first, survivors_are_exact=survivors_are_exact)
        _check_bad_plan(make, first)


def check_method_settings(method: type[AdaptationMethod], settings: Mapping[str, Any]) -> None:
    """Check that a plug-in takes its settings, and refuses one that it does not know.

    Args:
        method: its class.
        settings: that suit a `TinyAdaptable` trained for 12 steps.

    Raises:
        ConformanceError: the first thing that it does not do.
    """
    modules, given = TinyAdaptable().prunable_modules(), copy.deepcopy(dict(settings))
    method.check_settings(given, modules, total_steps=TOTAL_STEPS)
    require(given == settings, "check_settings must not change the settings")
    unknown = {**given, "a setting that nobody has": 1}
    said = _refusal(lambda: method.check_settings(unknown, modules, total_steps=TOTAL_STEPS))
    require(said, "check_settings must refuse a setting that it does not know, by a ValueError")
    require("\n" not in said, "check_settings must say in one line what is wrong")


@contextmanager
def _one_thread() -> Iterator[None]:
    """Compute on one thread: more only wait for each other on tensors this small."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _refusal(check: Callable[[], None]) -> str:
    try:
        check()
    except ValueError as error:
        return str(error)
    return ""


def _check_every_step(make: MakeHook, *, survivors_are_exact: bool) -> TinyRun:
    """Go through a run and look at it before and after every call."""
    run = TinyRun(make=make)
    while run.step < TOTAL_STEPS:
        run.backward()
        _check_changes_nothing("observe", run, lambda: run.hook.observe(run.step))
        factors = {run.hook.lr_factor(run.step) for _ in range(2)}
        sound = len(factors) == 1 and all(0 <= one < math.inf for one in factors)
        require(sound, "lr_factor must be finite, 0 or more, and the same when asked twice")
        run.update()
        plan = _check_proposal(run)
        if plan is not None:
            _check_event(run, plan, survivors_are_exact=survivors_are_exact)
    moved = any(not event.plan.is_empty for event in run.events)
    require(moved, f"must change the model within {TOTAL_STEPS} steps; choose such settings")
    return run


def _check_changes_nothing(name: str, run: TinyRun, call: Callable[[], T]) -> T:
    before = Snapshot.of(run)
    result = call()
    changed = before.difference(run)
    require(changed is None, f"{name} must change nothing, and has changed {changed}")
    return result


def _check_proposal(run: TinyRun) -> AdaptationPlan | None:
    state = run.state()

    def propose() -> AdaptationPlan | None:
        return run.hook.propose(run.step)

    plan = _check_changes_nothing("propose", run, propose)
    require(plan is None or isinstance(plan, AdaptationPlan), "propose must return a plan or None")
    require(run.state() == state, "propose must leave the state of the hook as it is")
    require(propose() == plan, "propose must return the same plan when it is asked twice")
    again = run.resumed()
    same = again.hook.propose(again.step) == plan
    require(same, "propose must return the same plan from the same state, restored by another hook")
    return plan


def _check_event(run: TinyRun, plan: AdaptationPlan, *, survivors_are_exact: bool) -> None:
    modules, params = run.model.prunable_modules(), _num_params(run)
    before, generators = run.tensors(), Snapshot.of(run).generators
    event = run.hook.apply(plan, run.step)
    drawn = Snapshot.of(run).generators != generators
    require(not drawn, "apply must not draw from a global generator, but by the run's seed")
    run.events.append(event)
    _check_description(event, plan, modules, run, params_before=params)
    check_modules(run.model, run.model.prunable_modules())
    check_survivors(run, plan, modules, before, exact=survivors_are_exact)


def _check_description(
    event: AdaptationEvent,
    plan: AdaptationPlan,
    modules: tuple[PrunableModule, ...],
    run: TinyRun,
    *,
    params_before: int,
) -> None:
    """Check that an event says what has happened."""
    fates = dict.fromkeys(plan.dropped, "dropped") | dict.fromkeys(plan.grown, "grown")
    expected = [(group.id, fates.get(group.id, "kept")) for group in all_groups(modules)]
    found = [(group.group_id, group.fate) for group in event.groups]
    require(found == expected, "an event must hold every group of before, in order, with its fate")
    finite = all(math.isfinite(group.score) for group in event.groups)
    require(finite, "an event must hold a finite score of every group; 0 where there is none")
    require(event.plan == plan, "an event must hold the plan that was applied")
    place = (event.event, event.step)
    require(
        place == (len(run.events) - 1, run.step),
        "an event must hold its number, counted from 0, and its step",
    )
    params = (event.params_before, event.params_after)
    require(
        params == (params_before, _num_params(run)),
        "an event must hold the parameters of the model before and after",
    )
    moved = event.params_after - event.params_before
    require(
        event.grown_params - event.dropped_params == moved,
        "an event's grown less its dropped parameters must be what the model has gained",
    )
    require(event.outcome, "an event must have an outcome")


def _check_repeats(make: MakeHook, whole: TinyRun) -> None:
    """Check that a run is determined by its seed, whatever the global generators are at."""
    states = torch.get_rng_state(), random.getstate()
    try:
        torch.manual_seed(OTHER_SEED)
        random.seed(OTHER_SEED)
        again = TinyRun(make=make).train()
    finally:
        torch.set_rng_state(states[0])
        random.setstate(states[1])
    what = "must do the same in every run with the same seed"
    require((again.losses, again.events) == (whole.losses, whole.events), what)
    require(again.state() == whole.state(), what)


def _check_resumes(make: MakeHook, whole: TinyRun) -> None:
    """Check that a run that is stopped before or after any event ends as if it had not been."""
    run = TinyRun(make=make)
    while run.step < TOTAL_STEPS:
        run.backward()
        run.hook.observe(run.step)
        run.update()
        for where in ("before", "after"):
            again = run.resumed()
            if where == "before":
                again.adapt()
                run.adapt()
            again.train()
            same = (again.losses, again.events, again.state())
            require(
                same == (whole.losses, whole.events, whole.state()),
                "load_state_dict must restore all that the hook goes by: a run stopped after "
                f"{run.step} steps ends in another way",
            )


def _check_empty_plan(make: MakeHook, step: int, *, survivors_are_exact: bool) -> None:
    run = _before_event(make, step)
    loss, before = run.loss().item(), Snapshot.of(run)
    run.hook.apply(AdaptationPlan(), run.step)
    if survivors_are_exact:
        changed = before.difference(run)
        require(changed is None, f"an empty plan must change nothing, and has changed {changed}")
    same = math.isclose(run.loss().item(), loss, rel_tol=1e-9)
    require(same, "an empty plan must keep what the model computes")


def _check_bad_plan(make: MakeHook, step: int) -> None:
    run = _before_event(make, step)
    before, state = Snapshot.of(run), run.state()
    try:
        run.hook.apply(AdaptationPlan(dropped=("no such group",)), run.step)
    except ValueError:
        changed = before.difference(run)
        what = f"an error in apply must leave all as it was, and has changed {changed}"
        require(changed is None, what)
        require(run.state() == state, "an error in apply must leave the hook as it was")
    else:
        raise ConformanceError("apply must refuse a plan of groups that are not there")


def _before_event(make: MakeHook, step: int) -> TinyRun:
    """Return a run that has reached the step of its first event, which is still to come."""
    run = TinyRun(make=make).train(step - 1)
    run.backward()
    run.hook.observe(run.step)
    run.update()
    return run


def _num_params(run: TinyRun) -> int:
    """Return the parameters of the model; gates, which come and go, are none of it."""
    named = run.model.named_parameters()
    return sum(parameter.numel() for name, parameter in named if not name.startswith("gates."))
