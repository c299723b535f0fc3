"""The interface between the parts of elaboration: what applying arrows, running statements and binding signatures need
of whoever builds the program.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from msgspec import Struct

from netdsl.diagnostics.diagnostic import Fault
from netdsl.elaborate.expressions import Evaluator
from netdsl.elaborate.names import Env, Silent
from netdsl.elaborate.scope import LayerBuilder, Scope, Wire
from netdsl.elaborate.taps import Taps
from netdsl.elaborate.trace import Trace
from netdsl.elaborate.values import BlockArrow
from netdsl.ir.model import Definition
from netdsl.sizes.constraints import Assumptions
from netdsl.sizes.dims import Dim
from netdsl.source import Place
from netdsl.syntax import ast


class Options(Struct, frozen=True):
    """How a net is elaborated: `links` puts a drop_path on every residual link, whose rate a recipe then sets;
    `standard` is a mean and a deviation by which its first input is standardised, `per` what they are taken over;
    `units` a mean and a deviation of the targets, in whose units its outputs are given;
    `image` is the side of square images that replaces the declared size of the first input."""

    links: bool = False
    standard: tuple[Any, Any] | None = None
    per: str = "channel"
    units: tuple[tuple[float, ...], tuple[float, ...]] | None = None
    image: int = 0
    sizes: tuple[tuple[str, int, Dim], ...] = ()
    """Sizes in the place of declared ones: the input's name, the axis, the size."""

    @property
    def stored(self) -> dict[str, Any]:
        """These options as an ONNX file keeps them, so that its net can be elaborated again."""
        every = {"links": self.links, "standard": self.standard, "per": self.per, "units": self.units}
        return {name: value for name, value in every.items() if value != getattr(Options(), name)}

    @classmethod
    def of_stored(cls, stored: Mapping[str, Any]) -> Options:
        """The options that a file says."""

        def pair(name: str) -> Any:
            return tuple(tuple(s) if isinstance(s, list) else s for s in stored[name]) if name in stored else None

        return cls(stored.get("links", False), pair("standard"), stored.get("per", "channel"), pair("units"))


class Context:
    """Where a value is being applied: the scope that receives the steps, and the net whose outputs are declared.
    `taps`: what is asked of the net, in its own body."""

    __slots__ = ("root", "scope", "taps", "training")

    def __init__(self, scope: Scope, root: Scope, training: bool = False, taps: Taps | None = None) -> None:
        self.scope = scope
        self.root = root
        self.training = training
        self.taps = taps

    def inside(self, scope: Scope) -> Context:
        return Context(scope, self.root, self.training)


class Builder(Protocol):
    """Builds one program: keeps the assumptions about sizes, records mistakes, makes definitions and nested scopes."""

    options: Options
    evaluator: Evaluator
    assume: Assumptions
    trace: Trace | None

    def record(self, mistake: Fault | Silent | RecursionError) -> None:
        """Make a diagnostic of a mistake that was just caught."""

    def apply(self, arrow: Any, flow: Any, context: Context) -> Any:
        """Apply an arrow to the value that flows; gives the value that flows out."""

    def run(self, statements: tuple[ast.Statement, ...], env: Env, flow: Any, context: Context) -> Any:
        """Run statements one after the other; gives the value that flows out."""

    def block(
        self, arrow: BlockArrow, flow: Wire | None, context: Context, apart: bool = False
    ) -> tuple[Definition, list[Wire]]:
        """Give the definition of a block for these arguments and this input, and the wires to call it with. `apart`:
        one tensor that is given twice is two inputs, so that the definition is the same as for two tensors."""

    def again(self, arrow: BlockArrow, flow: Wire) -> Definition | None:
        """Give the definition of a block value that was applied to this type before."""

    def inline(self, arrow: BlockArrow, flow: Wire | None, context: Context) -> Any:
        """Run a block inside the scope that calls it."""

    def nested(self, name: str, at: Place, flow: Wire | None, context: Context, member: bool = False) -> Scope:
        """Open a scope inside the present one, with the step that calls it."""

    def labelled(
        self,
        name: str,
        at: Place,
        flow: Any,
        context: Context,
        run: Callable[[Any, Context], Any],
        member: bool = False,
    ) -> Any:
        """Run something in a scope of that name; gives its result as the scope around it knows it."""

    def leave(self, child: Scope, result: Any) -> Any:
        """Close a nested scope; gives its result as the scope around it knows it."""

    def share(self, layer: LayerBuilder, declared: Any) -> None:
        """Remember what a shared layer was declared as."""

    def one(self, result: Any, at: Place) -> Wire:
        """Give the single tensor of a result. Raises Fault for several, Silent for a broken one."""

    def size(self, node: ast.Node, env: Env) -> Dim:
        """Give the size an expression stands for. Raises Fault for anything else."""
