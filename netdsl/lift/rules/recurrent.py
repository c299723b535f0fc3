"""Recurrent layers. ONNX runs one layer at a time over steps before the batch, and gives the directions apart."""

from __future__ import annotations

from typing import Any

import numpy as np

from netdsl.lift.build import Builder, Laid, Rule
from netdsl.lift.read import Node
from netdsl.ops.recurrent import GRU, LSTM, RNN, Recurrent

OPS: dict[str, type[Recurrent]] = {"LSTM": LSTM, "GRU": GRU, "RNN": RNN}
SUFFIXES = ("l0", "l0_reverse")


def _recurrent(builder: Builder, node: Node) -> None:
    kind, x = OPS[node.op_type], builder.tensor()
    directions = 2 if node.get("direction", "forward") == "bidirectional" else 1
    hidden = int(node.get("hidden_size"))
    _check(builder, node, x)
    options: dict[str, Any] = {"bidirectional": directions == 2, "bias": builder.has(3)}
    if kind is RNN:
        options["nonlinearity"] = (node.get("activations") or ("Tanh",))[0].lower()
    starts = _starts(builder, kind)
    options["states"] = any(builder.uses[name] for name in node.outputs[1:] if name)
    op = kind(hidden, **options)
    results = builder.call(op, x, *starts, weights=_weights(builder, kind, hidden, directions))
    _give(builder, node, x, results, directions, hidden)


def _check(builder: Builder, node: Node, x: Laid) -> None:
    """Refuse what PyTorch, and so the language, has no recurrent layer for."""
    reasons = {
        "lengths of sequences that the net is given": builder.has(4) and not builder.is_array(4),
        "this direction or layout has no form": node.get("direction", "forward") == "reverse" or node.get("layout", 0),
        "it runs over the samples: the batch is not its second axis": x.batch != 1 or x.joined,
        "its reset gate acts before the product; PyTorch's acts after it": _resets_before(node),
        "other activations than PyTorch's": not _is_usual(node),
    }
    for reason, refuses in reasons.items():
        if refuses:
            raise builder.refused(reason)


def _resets_before(node: Node) -> bool:
    return node.op_type == "GRU" and not node.get("linear_before_reset", 0)


def _is_usual(node: Node) -> bool:
    """Whether the activations are those of PyTorch's layer."""
    wanted = {"LSTM": ("Sigmoid", "Tanh", "Tanh"), "GRU": ("Sigmoid", "Tanh")}.get(node.op_type)
    given = node.get("activations")
    return not node.get("clip") and (not given or not wanted or tuple(given) == wanted * (len(given) // len(wanted)))


def _rows(kind: type[Recurrent], hidden: int) -> list[int]:
    """Where PyTorch's rows stand among ONNX's."""
    order = [i for gate in kind.gates for i in range(gate * hidden, (gate + 1) * hidden)]
    return [int(i) for i in np.argsort(order)]


def _weights(builder: Builder, kind: type[Recurrent], hidden: int, directions: int) -> dict[str, Any]:
    rows = _rows(kind, hidden)
    found: dict[str, Any] = {}
    for d, suffix in enumerate(SUFFIXES[:directions]):
        found[f"weight_ih_{suffix}"] = builder.array(1)[d][rows]
        found[f"weight_hh_{suffix}"] = builder.array(2)[d][rows]
        if builder.has(3):
            both = np.split(builder.array(3, "bias")[d], 2)
            found |= {f"bias_{n}_{suffix}": b[rows] for n, b in zip(("ih", "hh"), both, strict=True)}
    return found


def _starts(builder: Builder, kind: type[Recurrent]) -> list[Laid]:
    """The states it begins with: none where they are zeros."""
    found = []
    for index in range(5, 5 + len(kind.state)):
        if not builder.has(index):
            continue
        if builder.is_array(index):
            if np.any(builder.array(index)):
                raise builder.refused("it begins with fixed numbers")
            continue
        state = builder.tensor(index)
        if state.batch != 1 or state.joined:
            raise builder.refused("the batch of its state is not the second axis")
        found.append(state)
    return found


def _give(builder: Builder, node: Node, x: Laid, results: Any, directions: int, hidden: int) -> None:
    """`[L, directions, N, hidden]` of all steps, `[directions, N, hidden]` of the last states."""
    from netdsl.ops.reshaping import Reshape

    length = x.type.shape[0]
    if node.outputs[0]:
        steps = builder.call(Reshape((length, directions, hidden)), results[0])[0]
        builder.give(Laid(steps, 2))
    for index, state in enumerate(results[1:], start=1):
        if len(node.outputs) > index and node.outputs[index]:
            builder.give(Laid(state, 1), output=index)


RECURRENT: dict[str, Rule] = dict.fromkeys(OPS, _recurrent)
