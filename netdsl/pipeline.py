"""The stages of the compiler, each computed when it is first asked for.

    source --resolve--> module --elaborate--> program --Printer--> PyTorch text --build--> live module
                           |                     '-----export--> ONNX model
                           '----check_file--> diagnostics

A `Spec` is one file; a `Net` is one net of it with its arguments and sizes. Heavy libraries are imported by the stages
that need them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from netdsl.checks.file import check_file
from netdsl.checks.unchanged import Memory, Programs
from netdsl.diagnostics.diagnostic import Diagnostic
from netdsl.elaborate import nets, requested
from netdsl.elaborate.builder import Options
from netdsl.elaborate.elaborate import Elaborator
from netdsl.elaborate.modules import Reader, resolve
from netdsl.elaborate.requested import Elaborated, Request
from netdsl.elaborate.trace import Trace
from netdsl.garbage import uncollected
from netdsl.source import Source

if TYPE_CHECKING:
    from onnx import ModelProto
    from torch import nn

    from netdsl.backends.torch.source import Printer
    from netdsl.budget import Budget
    from netdsl.ir.initial import Initialization
    from netdsl.ir.model import Program
    from netdsl.planning.initialization import NetParameters


class Spec:
    """One file: its module, its nets, and everything that is wrong with it. `memory`: what was found to be right in
    earlier checks of the file, for an editor."""

    def __init__(
        self,
        source: Source,
        read: Reader,
        trace: Trace | None = None,
        memory: Memory | None = None,
        budget: Budget | None = None,
    ) -> None:
        self.source, self.read, self.memory = source, read, memory
        self.elaborator = Elaborator(budget=budget, trace=trace)
        with self.elaborator.budget.open():
            self.module, self.mistakes = resolve(source, read)

    @cached_property
    def checked(self) -> tuple[Programs, tuple[Diagnostic, ...]]:
        """The nets that need no further arguments, elaborated, and all mistakes of the file."""
        found = check_file(self.module, self.elaborator, self.nets, self.mistakes, self.memory)
        budget = self.elaborator.budget
        if not budget.cancelled and found[0].unchanged.is_doubtful(budget.spent):
            whole = Spec(self.source, self.read, self.elaborator.trace)
            self.module, self.mistakes, self.elaborator = whole.module, whole.mistakes, whole.elaborator
            if budget.cancelled:  # meanwhile, by another thread
                whole.elaborator.budget.cancel()
            return whole.checked
        return found

    @property
    def programs(self) -> Programs:
        """The nets that need no further arguments, elaborated, by name; None for one with a mistake."""
        return self.checked[0]

    @property
    def diagnostics(self) -> tuple[Diagnostic, ...]:
        """All mistakes of the file: its syntax, its names, every net it declares, every expectation."""
        return self.checked[1]

    @cached_property
    def nets(self) -> tuple[str, ...]:
        """The nets that the file declares and that need no further arguments, in order."""
        return self.nets_for(()) if self.module.nets else ()

    @property
    def recipes(self) -> tuple[str, ...]:
        """The recipes that the file declares, in order."""
        return tuple(self.module.recipes)

    def nets_for(self, arguments: Iterable[str]) -> tuple[str, ...]:
        """The nets that take these arguments and need no others, in order: the file's own, else those it imports."""
        return nets.complete(self.module, self.elaborator, arguments)

    def constant(self, name: str) -> Any:
        """The value of a constant of the file; None where there is none."""
        return nets.constant(self.module, self.elaborator, name)

    def net(
        self,
        name: str | None = None,
        arguments: Mapping[str, Any] | None = None,
        sizes: Mapping[str, int] | None = None,
        options: Options | None = None,
    ) -> Net:
        """One net of the file: the named one, or the first for which these arguments are sufficient."""
        return Net(self, name, arguments or {}, sizes or {}, options or Options())


class Net:
    """One net, and its stages from the typed program to PyTorch and ONNX."""

    def __init__(
        self, spec: Spec, name: str | None, arguments: Mapping[str, Any], sizes: Mapping[str, int], options: Options
    ) -> None:
        self.spec, self.arguments, self.sizes, self.options = spec, arguments, sizes, options
        self._texts: dict[str, str] = {}
        self.name, self._mistakes = nets.chosen(spec.module, name, lambda: spec.nets_for(arguments))

    @property
    def request(self) -> Request:
        """The module, the net's name, and everything that was given for it."""
        return Request(self.spec.module, self.name, self.arguments, self.sizes, self.options)

    @cached_property
    def elaborated(self) -> Elaborated:
        """The typed program, or the mistakes of the net."""
        mistakes = (*self.spec.mistakes, *self._mistakes)
        return Elaborated(None, mistakes) if mistakes else requested.elaborate(self.request)

    @property
    def program(self) -> Program | None:
        """The typed program; None where there are diagnostics."""
        return self.elaborated.program

    @property
    def diagnostics(self) -> tuple[Diagnostic, ...]:
        """The mistakes of the net."""
        return self.elaborated.diagnostics

    @property
    def checked(self) -> Program:
        """The typed program. Raises ValueError where there are diagnostics."""
        if self.program is None:
            raise ValueError("; ".join(d.message for d in self.diagnostics))
        return self.program

    @cached_property
    def parameters(self) -> NetParameters:
        """The parameters of the net, its residual branches and its head. Raises ValueError where there are
        diagnostics."""
        from netdsl.planning.initialization import NetParameters

        return NetParameters.of(self.checked)

    def resized(self, side: int) -> tuple[Program | None, tuple[Diagnostic, ...]]:
        """The program for square images of another size, or the mistakes that it has there."""
        other = requested.elaborate(self.request.with_image(side))
        return other.program, other.diagnostics

    @cached_property
    def printer(self) -> Printer:
        """The net as classes of PyTorch."""
        from netdsl.backends.torch.source import printer

        return printer(self.checked, self.name)

    @property
    def class_name(self) -> str:
        """The name of the net as a Python class."""
        return self.printer.class_name

    @cached_property
    def guard(self) -> Program:
        """The program with names for the declared sizes that the PyTorch module is not fixed to."""
        from netdsl.backends.torch.freedom import freed

        return freed(self.printer, lambda sizes: requested.elaborate(self.request.with_sizes(sizes)).program)

    def source(self, init: Sequence[Initialization] = ()) -> str:
        """The net as a PyTorch module: the text of a `model.py` that imports nothing but torch.

        `init`: the steps of the module's method `init_weights` (see `planning.initialization`); empty: PyTorch's own.
        """
        key = repr(init)
        if key not in self._texts:
            with uncollected():
                self._texts[key] = self.printer.text(self.guard, self.request.title, init)
        return self._texts[key]

    def module(self, seed: int | None = None, init: Sequence[Initialization] = ()) -> nn.Module:
        """The net as a live module; `seed` fixes its initial weights and leaves torch's own generator as it was.

        Raises MemoryError, before any weight is drawn, where they can't fit.
        """
        from netdsl.backends.torch.module import build, check_memory

        check_memory(self.checked, self.name)
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
        """The origin of an ONNX file of the net, for its metadata."""
        from netdsl.elaborate.origin import origin

        return origin(self.request, self.checked)
