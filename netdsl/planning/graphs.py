"""Checks of a net against many graphs in a batch: its inputs by name and shape, and what it gives for each graph or
each node."""

from __future__ import annotations

from collections.abc import Iterator

from netdsl.diagnostics.diagnostic import Diagnostic, diagnostic, did_you_mean
from netdsl.ir.model import Program, Value
from netdsl.recipe.places import Places

SHAPES = {"edges": "[2, E] int64", "graph": "[N] int64", "sizes": "[G] int64", "edge_features": "[E, K]"}
"""How the inputs besides the nodes are declared."""

INPUTS = ("nodes", *SHAPES)
"""What a net can take of a batch of graphs, by the names of its inputs."""


def graph_mistakes(program: Program, places: Places) -> Iterator[Diagnostic]:
    """Inputs that are none of a batch of graphs, or of another shape; an output that isn't one for each graph or each
    node."""
    at, inputs = places.at("data"), program.main.inputs
    first = inputs[0]
    if first.type.rank != 2 or first.type.dtype != "float32":
        message = f"`{first.name}` takes {first.type}, and the nodes of graphs are rows, `[N, features]`"
        yield diagnostic("unfit-input", message, at, "declare `input nodes [N, features]` first")
        return
    unfit = [found for value in inputs[1:] if (found := _unfit(value, first)) is not None]
    for message, hint in unfit:
        yield diagnostic("unfit-input", message, at, hint)
    if not unfit and not_by_node(program) and (mistake := not_by_graph(program)) is not None:
        message, hint = mistake
        yield diagnostic("unfit-loss", f"{message}, and `graphs` asks for the class of each graph or node", at, hint)


def _unfit(value: Value, nodes: Value) -> tuple[str, str | None] | None:
    """Why an input is none of a batch of graphs, and a hint."""
    wanted, shape = SHAPES.get(value.name), value.type.shape
    if wanted is None:
        hint = did_you_mean(value.name, SHAPES) or f"its inputs may be called {', '.join(INPUTS)}"
        return f"the net has an input `{value.name}`, and `graphs` gives none", hint
    integer = value.type.dtype.startswith("int")
    fits = len(shape) == wanted.count(",") + 1 and integer == wanted.endswith("int64")
    fits = (
        fits and (value.name != "edges" or shape[0] == 2) and (value.name != "graph" or shape[0] == nodes.type.shape[0])
    )
    if fits:
        return None
    return f"`{value.name}` takes {value.type}, and `graphs` gives {wanted}", f"declare `input {value.name} {wanted}`"


def not_by_node(program: Program) -> tuple[str, str] | None:
    """Why a net gives nothing for each node, and a hint; None where its main output is `[N, ...]` with the length of
    its nodes."""
    main = next(o for o in program.main.outputs if not o.training).value.type
    count = program.main.inputs[0].type.shape[0]
    if main.rank == 2 and main.shape[0] == count:
        return None
    return f"the net gives {main}", f"end with `linear(classes)` over the nodes, `[{count}, classes]`"


def not_by_graph(program: Program) -> tuple[str, str] | None:
    """Why a net gives nothing for each graph, and a hint; None where its main output is `[G, ...]` with the length of
    its input `sizes`."""
    main = next(o for o in program.main.outputs if not o.training).value.type
    sizes = next((v for v in program.main.inputs if v.name == "sizes"), None)
    if sizes is None:
        hint = "`input sizes [G] int64`, whose length is the number of graphs: `scatter(index=graph, size=G)`"
        return f"the net gives {main} and has no input `sizes`", hint
    count = sizes.type.shape[0]
    if main.rank == 2 and main.shape[0] == count:
        return None
    return f"the net gives {main}", f"`scatter(index=graph, size={count})` adds up the nodes of each graph"
