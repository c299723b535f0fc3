"""From text to everything else, one lazy stage after another.

    source --resolve--> module --elaborate--> program --Printer--> PyTorch text --build--> live module
                           |                     '-----export--> ONNX model
                           '----check_file--> diagnostics

A `Spec` is one file; a `Net` is one net of it with its arguments and sizes. Every stage is computed when it is first
asked for; heavy libraries are imported by the stages that need them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from msgspec.structs import replace

from netdsl.budget import Budget
from netdsl.checks.file import Programs, check_file
from netdsl.diagnostics.diagnostic import Diagnostic, Fault
from netdsl.elaborate.builder import Options
from netdsl.elaborate.elaborate import Elaborator
from netdsl.elaborate.modules import Reader, resolve
from netdsl.elaborate.nets import block_of, find_net, takes
from netdsl.elaborate.requested import Elaborated, elaborate
from netdsl.elaborate.trace import Trace
from netdsl.garbage import uncollected
from netdsl.sizes.dims import Dim
from netdsl.source import Source
from netdsl.syntax import ast
from netdsl.version import __version__

if TYPE_CHECKING:
    from onnx import ModelProto
    from torch import nn

    from netdsl.backends.torch.source import Printer
    from netdsl.ir.initial import Initialization
    from netdsl.ir.model import Program


T = TypeVar("T")


class Spec:
    """One file: its module, its nets, and everything that is wrong with it."""

    def __init__(self, source: Source, read: Reader, trace: Trace | None = None) -> None:
        self.source = source
        self.read = read
        budget = Budget()
        with budget.open():
            self.module, self.mistakes = resolve(source, read)
        self.elaborator = Elaborator(budget=budget)
        self.elaborator.trace = trace

    def constant(self, name: str) -> Any:
        """The value of a constant of the file; None where there is none."""
        declared = self.module.names.get(name)
        with self.elaborator.recording():
            if isinstance(declared, ast.Constant):
                return self.elaborator.evaluator.declared.constant(self.module, declared)
        return None

    @cached_property
    def nets(self) -> tuple[str, ...]:
        """The nets that need no further arguments, in order."""
        return self.nets_for(())

    def nets_for(self, arguments: Iterable[str]) -> tuple[str, ...]:
        """The nets that take these arguments, and need no others."""
        given = set(arguments)
        return tuple(n for n in self.module.nets if self._takes(n, given))

    def _takes(self, name: str, arguments: set[str]) -> bool:
        with self.elaborator.recording():
            block = block_of(self.module, name, self.elaborator.evaluator)
            return block is not None and takes(block, arguments)
        return False

    @cached_property
    def _checked(self) -> tuple[Programs, tuple[Diagnostic, ...]]:
        return check_file(self.module, self.elaborator, self.nets, self.mistakes)

    @property
    def programs(self) -> Programs:
        """The nets that need no further arguments, elaborated, by name."""
        return self._checked[0]

    @property
    def diagnostics(self) -> tuple[Diagnostic, ...]:
        """All mistakes of the file: its syntax, its names, every net it declares, every expectation."""
        return self._checked[1]

    def net(
        self,
        name: str | None = None,
        arguments: Mapping[str, Any] | None = None,
        sizes: Mapping[str, int] | None = None,
        options: Options | None = None,
    ) -> Net:
        """One net of the file: the named one, or the first that these arguments are enough for."""
        return Net(self, name, arguments or {}, sizes or {}, options or Options())


class Net:
    """One net: its program, and what the program becomes."""

    def __init__(
        self, spec: Spec, name: str | None, arguments: Mapping[str, Any], sizes: Mapping[str, int], options: Options
    ) -> None:
        self.spec = spec
        self.arguments = arguments
        self.sizes = sizes
        self.options = options
        self._mistakes: list[Diagnostic] = []
        self.name = name or ""
        try:
            self.name = find_net(spec.module, name, spec.nets_for(arguments) if name is None else ())
        except Fault as mistake:
            self._mistakes.append(mistake.diagnostic)

    @cached_property
    def _elaborated(self) -> Elaborated:
        mistakes = (*self.spec.mistakes, *self._mistakes)
        if mistakes:
            return Elaborated(None, mistakes)
        return elaborate(self.spec.module, self.name, self.arguments, self.sizes, self.options)

    @property
    def program(self) -> Program | None:
        """The typed program; None where there are diagnostics."""
        return self._elaborated.program

    @property
    def diagnostics(self) -> tuple[Diagnostic, ...]:
        """The mistakes of the net."""
        return self._elaborated.diagnostics

    @property
    def moved(self) -> tuple[Diagnostic, ...]:
        """The lines of the net that version 1 of the language read in another way."""
        return self._elaborated.moved

    @property
    def checked(self) -> Program:
        """The typed program. Raises ValueError where there are diagnostics."""
        if self.program is None:
            raise ValueError("; ".join(d.message for d in self.diagnostics))
        return self.program

    def resized(self, side: int) -> tuple[Program | None, tuple[Diagnostic, ...]]:
        """The program for square images of another size, or the mistakes that it has there."""
        other = Net(self.spec, self.name, self.arguments, self.sizes, replace(self.options, image=side))
        return other.program, other.diagnostics

    @cached_property
    def class_name(self) -> str:
        """The name of the net as a Python class."""
        from netdsl.backends.torch.naming import class_name

        return class_name(self.checked, self.name)

    def source(self, init: Sequence[Initialization] = ()) -> str:
        """The net as a PyTorch module: the text of a `model.py` that imports nothing but torch.

        `init`: the steps of the module's method `init_weights` (see `planning.initialization`); empty: PyTorch's own.
        """
        origin = self.spec.source.name.rpartition("/")[2]
        header = f"{self.name}, compiled from {origin} by netdsl {__version__}."
        with uncollected():
            return self.printer.text(self.guard, header, init)

    @cached_property
    def printer(self) -> Printer:
        """The net as classes of PyTorch."""
        from netdsl.backends.torch.source import Printer

        return Printer(self.checked, self.class_name)

    @cached_property
    def guard(self) -> Program:
        """The program with names for the declared sizes that the PyTorch module is not made for."""
        from netdsl.backends.torch.freedom import freed

        def elaborate(sizes: Mapping[tuple[str, int], Dim]) -> Program | None:
            other = replace(self.options, sizes=tuple((name, axis, size) for (name, axis), size in sizes.items()))
            return Net(self.spec, self.name, self.arguments, self.sizes, other).program

        return freed(self.printer, elaborate)

    def current(self, tensors: Mapping[str, T]) -> dict[str, T]:
        """Tensors by the net's keys of today, where they may have been saved by the previous release."""
        from netdsl.weights.former import current

        return current(self.checked.main, tensors)

    def module(self, seed: int | None = None, init: Sequence[Initialization] = ()) -> nn.Module:
        """The net as a live module; `seed` fixes its initial weights and leaves torch's own generator as it was.

        Raises MemoryError, before any weight is drawn, where they can't fit.
        """
        from netdsl.analysis.count import totals
        from netdsl.backends.torch.module import build
        from netdsl.diagnostics.memory import check_room

        counted = totals(self.checked.main)
        check_room(f"the weights of `{self.name}`", 4 * (counted.params + counted.buffers))

        return build(self.source(init), self.class_name, seed)

    def onnx(
        self, weights: Mapping[str, Any], *, opset: int = 18, target: str = "onnxruntime", folded: bool = True
    ) -> ModelProto:
        """The net as an ONNX model with these weights (arrays by state-dict key), not yet verified.

        `folded`: norms and scales that follow a layer are part of its weights.
        """
        from netdsl.backends.onnx.model import export

        with uncollected():
            return export(self.checked, weights, opset=opset, target=target, metadata=self.metadata, folded=folded)

    @property
    def metadata(self) -> dict[str, Any]:
        """Where an ONNX file of the net comes from, for its metadata."""
        from netdsl.elaborate.origin import origin

        return origin(self.spec.module, self.name, self.arguments, self.sizes, self.options, self.checked)
