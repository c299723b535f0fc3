"""Origins: the initialisers that the weights of a layer came from. Equal origins are one weight."""

from __future__ import annotations

import re

from netdsl.lift.read import File, Node

NONE = frozenset[str]()
CALL = re.compile(r"_\d+$")
"""The number of a later call of a module, in the scopes of torch's older exporter: `/encoder_1/fc_1/Gemm`."""


class Origins:
    """The initialisers behind each array of a file.

    torch's older exporter stores equal initialisers once, and an `Identity` for those that are another parameter: the
    layers of an `nn.TransformerEncoder` that was never trained. The names of its nodes tell such layers apart.
    """

    def __init__(self, file: File) -> None:
        self._of = {name: frozenset((name,)) for name in file.arrays}
        self._copied = {n.inputs[0] for n in file.nodes if n.op_type == "Identity"} & file.arrays.keys()
        self._scopes = {scope for n in file.nodes for scope in _scopes(n.name)} if self._copied else set()

    def follow(self, node: Node) -> None:
        """The results of a node of arrays come from where its inputs do."""
        self._of.update(dict.fromkeys(node.outputs, self._behind(node)))

    def of(self, node: Node) -> frozenset[str]:
        """The initialisers that the arrays of a layer came from; with its module, where a file has equal ones once."""
        behind = self._behind(node)
        if behind.isdisjoint(self._copied):
            return behind
        module = self._module(node)
        return frozenset(f"{name} of {module}" if name in self._copied else name for name in behind)

    def _behind(self, node: Node) -> frozenset[str]:
        return NONE.union(*(self._of.get(name, NONE) for name in node.inputs))

    def _module(self, node: Node) -> str:
        """The scope of the module's first call."""
        found = ""
        for part in node.name.split("/")[1:-1]:
            first = f"{found}/{CALL.sub('', part)}"
            found = first if first in self._scopes else f"{found}/{part}"
        return found


def _scopes(name: str) -> list[str]:
    parts = name.split("/")
    return ["/".join(parts[:n]) for n in range(2, len(parts))]
