"""The Python API: `netdsl.load("resnet.net", net="ResNet50", classes=10)`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from netdsl.diagnostics.diagnostic import Diagnostic, Fault
from netdsl.loader import LoadError, load_source, read_import
from netdsl.pipeline import Net, Spec

if TYPE_CHECKING:
    import numpy as np
    from torch import nn

    from netdsl.ir.model import Program
    from netdsl.summary import Summary


class SpecError(ValueError):
    """A spec with mistakes. `diagnostics` holds them as values; the message shows them as the command line does."""

    def __init__(self, diagnostics: tuple[Diagnostic, ...]) -> None:
        from netdsl.render.diagnostics import render

        super().__init__("\n" + "\n".join(render(d) for d in diagnostics))
        self.diagnostics = diagnostics


class Model:
    """One net, compiled. Everything is computed when first asked for; only `module` and `to_onnx` import torch."""

    def __init__(self, net: Net) -> None:
        self.net = net
        if net.program is None:
            raise SpecError(net.diagnostics)
        self.program: Program = net.program

    @property
    def name(self) -> str:
        return self.net.name

    @property
    def input_sizes(self) -> dict[str, tuple[int | str, ...]]:
        """The shape of one sample of each input, without the batch; named sizes as text: `{"image": (3, "H", "W")}`."""
        return {
            v.name: tuple(s if isinstance(s, int) else str(s) for s in v.type.shape) for v in self.program.main.inputs
        }

    def summary(self) -> Summary:
        """Parameters, MACs, memory, receptive field and a tree of rows, as a value; `str()` of it is a table."""
        from netdsl.summary import summarize

        return summarize(self.program, self.name)

    def source(self) -> str:
        """The net as a PyTorch module: the text of a `model.py` that imports nothing but torch."""
        try:
            return self.net.source()
        except Fault as mistake:
            raise SpecError((mistake.diagnostic,)) from None

    def module(self, seed: int | None = None) -> nn.Module:
        """The net as a live `torch.nn.Module`, made by running `source()`. `seed` fixes its initial weights."""
        return self.net.module(seed)

    def to_onnx(
        self,
        path: str | os.PathLike[str],
        weights: Mapping[str, np.ndarray] | nn.Module | None = None,
        *,
        opset: int = 18,
        target: str = "onnxruntime",
        verify: bool = True,
    ) -> None:
        """Write the net to an ONNX file, verified against torch in onnxruntime before it is left there.

        `weights`: a module made by `module()`, or arrays by state-dict key; without it, fresh weights of seed 0. Raises
        `VerificationError` (and leaves no file) where onnxruntime and torch disagree.
        """
        from netdsl.verify.export import deliver

        deliver(self.net, path, weights, opset=opset, target=target, verified=verify)


def load(
    path: str | os.PathLike[str],
    net: str | None = None,
    *,
    sizes: Mapping[str, int] | None = None,
    **arguments: Any,
) -> Model:
    """Compile one net of a spec.

    `net` names it (without a name: the first that needs no further arguments); `arguments` are the net's own
    (`classes=10`); `sizes` fixes named sizes of its inputs (`{"H": 224}`). Raises SpecError with every mistake found.
    """
    try:
        spec = Spec(load_source(path), read_import)
    except LoadError as error:
        raise SpecError((error.diagnostic,)) from None
    return Model(spec.net(net, arguments, sizes))
