"""PyTorch's files, which are pickles: only tensors and plain containers are made of them, no code is run."""

from __future__ import annotations

import re
import warnings
import zipfile
from typing import Any

import torch

from netdsl.diagnostics.diagnostic import first_line
from netdsl.weights.unwrap import WeightsError

CONFIGS = re.compile(
    r"^(argparse\.Namespace|types\.SimpleNamespace|omegaconf\..*|yacs\.config\.CfgNode|easydict\.EasyDict|addict\..*"
    r"|(pytorch_)?lightning(\.pytorch|_fabric|\.fabric)?\..*|pathlib\.\w*Path|datetime\.\w+|collections\.Counter"
    r"|mmengine\.(config|logging)\..*|ml_collections\..*|enum\.\w+)$"
)
"""Classes of settings that lie beside weights. None of them is made: an empty object stands in their place."""

MOST_TRIES = 64


class Setting:
    """A placeholder for an object of settings in a checkpoint."""

    def __new__(cls, *args: Any, **named: Any) -> Setting:
        return object.__new__(cls)

    def __setstate__(self, state: Any) -> None:
        pass

    def __init__(self, *args: Any, **named: Any) -> None:
        pass


def load(path: str) -> Any:
    """Load a file of `torch.save`, tensors on the CPU. Raises WeightsError."""
    allowed: dict[str, type] = {}
    for _ in range(MOST_TRIES):
        known: list[Any] = [(kind, name) for name, kind in allowed.items()]
        try:
            with warnings.catch_warnings(), torch.serialization.safe_globals(known):
                warnings.simplefilter("ignore")
                return torch.load(path, map_location="cpu", weights_only=True)
        except Exception as e:  # bytes that are no pickle end in anything, such as an IndexError
            name = _unknown(str(e))
            if name is None or name in allowed or not CONFIGS.match(name):
                raise _refused(path, e, name) from None
            allowed[name] = type(name.rpartition(".")[2], (Setting,), {"__module__": name.rpartition(".")[0]})
    raise WeightsError(
        "unreadable-weights", f"{path} holds too many objects that are no tensors", "save `model.state_dict()` alone"
    )


def _unknown(text: str) -> str | None:
    """The class that a file needs and that is not one of tensors, out of PyTorch's message."""
    found = re.search(r"GLOBAL ([\w.]+) was not an allowed global", text) or re.search(
        r"Unsupported (?:global|class):? ?(?:GLOBAL )?([\w.]+)", text
    )
    return found[1] if found else None


def _refused(path: str, error: Exception, name: str | None) -> WeightsError:
    if _is_script(path):
        hint = "it is a TorchScript archive: save `torch.jit.load(file).state_dict()`"
        return WeightsError("unreadable-weights", f"{path} is not a file of plain tensors", hint)
    if name is not None:
        hint = "save the state dict alone: `torch.save(model.state_dict(), file)`"
        return WeightsError(
            "unreadable-weights", f"{path} is not a file of plain tensors: it holds `{name}`, which is not loaded", hint
        )
    first = first_line(error)
    known = isinstance(error, RuntimeError) and not any(
        w in first for w in ("weights_only", "magic number", "pickle", "Pickle")
    )
    reason = first if known else "it is damaged or of another kind"
    hint = "weights are read from .safetensors, .npz, .onnx and from what `torch.save` writes"
    return WeightsError("unreadable-weights", f"{path} is not a file of plain tensors: {reason}", hint)


def _is_script(path: str) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return any(n.endswith("/constants.pkl") for n in archive.namelist())
    except (OSError, zipfile.BadZipFile):
        return False
