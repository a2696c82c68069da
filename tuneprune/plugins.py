"""Classes of other people's modules, named ``module:Class`` in the settings.

It finds and checks them; what a class must offer is said by a protocol beside what calls it.
"""

import difflib
import hashlib
import importlib
import inspect
import re
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, Generic, Protocol, TypeVar

from tuneprune.errors import ConfigError

T = TypeVar("T")

_NAME = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*")


def is_plugin(name: str) -> bool:
    """Return whether a name reads ``module:Class``; nothing is imported."""
    return _NAME.fullmatch(name) is not None


def load_plugin(field: str, name: str, protocol: type[T]) -> type[T]:
    """Import a class and check that it offers what a protocol asks for.

    The working directory comes first on the path, as for ``python -m``, so that a module beside
    the settings is found by a console script and by the workers of Ray, who work where the command
    was started. Modules with code of their own are imported only here: never when settings are
    read from a checkpoint or a results folder.

    Args:
        field: the setting that names the class.
        name: ``module:Class``; the module may be dotted.
        protocol: with the methods that are asked for; one whose arguments the class does not take
            is as good as missing. If it defines ``__init__``, that is asked for too.

    Raises:
        ConfigError: the name does not read so, there is no such module or class, the module can
            not be imported, or the class lacks something.
    """
    if not is_plugin(name):
        raise ConfigError(field, name, "must read module:Class")
    module_name, _, class_name = name.partition(":")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    module = _import(field, name, module_name)
    found: Any = getattr(module, class_name, None)
    if found is None:
        close = difflib.get_close_matches(class_name, _classes_in(module), n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise ConfigError(field, name, f"must be in {module_name}, where there is none{hint}")
    is_class = inspect.isclass(found)
    if not is_class:
        raise ConfigError(field, name, f"must be a class, and is a {type(found).__name__}")
    loaded: type[T] = found
    lacks = _lacks(loaded, protocol)
    if lacks:
        raise ConfigError(field, name, f"must have {', '.join(lacks)}; see {protocol.__name__}")
    return loaded


def source_fingerprint(found: type) -> str:
    """Return 16 hex digits of the file that a class stands in, or of its name where it has none.

    What that file imports is not looked at.
    """
    try:
        source = Path(inspect.getfile(found)).read_bytes()
    except (OSError, TypeError):
        source = found.__qualname__.encode()
    return hashlib.sha256(source).hexdigest()[:16]


def _import(field: str, name: str, module_name: str) -> ModuleType:
    try:
        return importlib.import_module(module_name)
    except (Exception, SystemExit) as error:  # whatever a module of somebody else may raise
        if isinstance(error, ModuleNotFoundError) and _is_on_the_way(error.name, module_name):
            remedy = "names no module; start the command where its file lies, or install it"
            raise ConfigError(field, name, remedy) from None
        remedy = f"can not be imported: {_where(error)}{type(error).__name__}: {error}"
        raise ConfigError(field, name, remedy) from error


def _is_on_the_way(missing: str | None, module_name: str) -> bool:
    """Return whether a module that is missing is the one that was asked for, or above it."""
    return missing is not None and f"{module_name}.".startswith(f"{missing}.")


def _where(error: BaseException) -> str:
    """Return the file and line that an error comes from, for whoever wrote them."""
    if isinstance(error, SyntaxError) and error.filename:
        return ""  # it says so itself
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if "importlib" not in frame.filename and frame.filename != __file__
    ]
    return f"{Path(frames[-1].filename).name}, line {frames[-1].lineno}: " if frames else ""


def _classes_in(module: ModuleType) -> list[str]:
    return [name for name, one in vars(module).items() if inspect.isclass(one)]


def _lacks(found: type, protocol: type) -> list[str]:
    """Return what a class does not offer: methods by their arguments."""
    wanted = {
        name: getattr(protocol, name)
        for base in protocol.__mro__
        if base not in (object, Protocol, Generic)
        for name in vars(base)
        if not name.startswith("_") and callable(getattr(protocol, name))
    }
    lacking = [
        f"{name}{_arguments(method)}"
        for name, method in sorted(wanted.items())
        if not _offers(found, name, method)
    ]
    maker: Callable[..., Any] = protocol.__init__  # type: ignore[misc]  # as it is written there
    asked = inspect.isfunction(maker) and maker.__module__ != "typing"
    if asked and not _takes(found, maker, skip_self=True):
        lacking.insert(0, f"a constructor that takes {_arguments(maker)}")
    return lacking


def _offers(found: type, name: str, wanted: Callable[..., Any]) -> bool:
    theirs = getattr(found, name, None)
    if not callable(theirs) or name in getattr(found, "__abstractmethods__", ()):
        return False
    if _plain(theirs) is _plain(wanted):  # inherited from the protocol, where it has no body
        return False
    return _takes(theirs, wanted)


def _takes(
    theirs: Callable[..., Any], wanted: Callable[..., Any], *, skip_self: bool = False
) -> bool:
    """Return whether one callable can be called with the arguments of another."""
    parameters = list(inspect.signature(wanted).parameters.values())[skip_self:]
    by_name = [one.name for one in parameters if one.kind is one.KEYWORD_ONLY]
    try:
        inspect.signature(theirs).bind(
            *range(len(parameters) - len(by_name)), **dict.fromkeys(by_name)
        )
    except TypeError:
        return False
    return True


def _arguments(method: Callable[..., Any]) -> str:
    signature = inspect.signature(method)
    shown = [
        one.replace(annotation=inspect.Parameter.empty)
        for one in signature.parameters.values()
        if one.name != "self"
    ]
    return str(inspect.Signature(shown))


def _plain(method: Any) -> Any:
    return getattr(method, "__func__", method)
