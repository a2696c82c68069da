"""The one place where torchaudio is imported.

Beside a torch of another build, ``import torchaudio`` ends in an ``OSError`` about a missing shared
library, not in an ``ImportError``: here either becomes one line that says what to install.
"""

import importlib
from types import ModuleType

import torch

from tuneprune.errors import ResourceError


def load_torchaudio() -> ModuleType:
    """Import torchaudio and return it.

    Raises:
        ResourceError: it is not installed, or was built for another torch than the one here.
    """
    try:
        return importlib.import_module("torchaudio")
    except ModuleNotFoundError:
        raise ResourceError("torchaudio", None, f"is not installed; {_command()}") from None
    except (ImportError, OSError) as error:
        reason = str(error).partition("\n")[0]
        remedy = f"can not be loaded beside torch {torch.__version__}, another build; {_command()}"
        raise ResourceError("torchaudio", reason, remedy) from None


def _command() -> str:
    """Return the pip command for the build (cpu, cu130, ...) that fits the torch in use."""
    _, plus, build = torch.__version__.partition("+")
    index = f" --index-url https://download.pytorch.org/whl/{build}" if plus else ""
    return f"run `pip install --force-reinstall --no-deps torchaudio{index}`"
