"""Packages that only some commands need, and the mistake of one that is not installed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

from netdsl.diagnostics.diagnostic import Diagnostic, UserError, diagnostic

HEAVY = {
    "torch": "torch", "numpy": "numpy", "onnx": "onnx", "onnxruntime": "onnxruntime", "safetensors": "safetensors",
    "sklearn": "scikit-learn", "PIL": "pillow",
}  # fmt: skip
"""What a light installation lacks: the hint at the first of them names all, or each would be found missing in turn."""

REQUIREMENTS = HEAVY | {
    "rich": "rich", "scipy": "scipy", "ml_dtypes": "ml-dtypes",
    "datasets": "datasets", "pyarrow": "pyarrow", "tokenizers": "tokenizers", "huggingface_hub": "huggingface-hub",
    "httpx": "httpx", "pygls": "pygls>=2.1,<3", "lsprotocol": "pygls>=2.1,<3", "optuna": "optuna",
    "submitit": "submitit", "tensorboard": "tensorboard", "mlflow": "mlflow-skinny", "wandb": "wandb",
}  # fmt: skip
"""What `pip install` takes for a module. Not netdsl's extras: in a light installation they would bring torch."""


def missing(error: ImportError, needing: str = "this") -> Diagnostic | None:
    """The mistake of a package that is not installed, or lacks a part; None for a module that no package here has."""
    module = (error.name or "").partition(".")[0]
    if module not in REQUIREMENTS:
        return None
    from shlex import join, quote

    requirement = REQUIREMENTS[module]
    if _is_here(module):
        message = f"{needing} needs `{error.name}`, which the installed `{module}` does not have"
        return diagnostic("missing-package", message, None, f"pip install --upgrade {quote(requirement)}")
    message = f"{needing} needs the package `{requirement.partition('>')[0]}`, which is not installed"
    lacking = [HEAVY[m] for m in HEAVY if not _is_here(m)] if module in HEAVY else [requirement]
    return diagnostic("missing-package", message, None, f"pip install {join(lacking)}")


def _is_here(module: str) -> bool:
    """Whether a package is installed; a folder of its name is none."""
    try:
        found = find_spec(module)
    except (ImportError, ValueError):
        return False
    return found is not None and found.origin is not None


@contextmanager
def needed_by(what: str) -> Iterator[None]:
    """The imports inside are of optional packages, which `what` needs. Raises UserError for one that is missing."""
    try:
        yield
    except ImportError as error:
        if (found := missing(error, what)) is None:
            raise
        raise UserError.of(found) from None
