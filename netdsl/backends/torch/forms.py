"""The PyTorch forms of ops as trees: their inputs become values of the definition, their sizes shapes of its inputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from netdsl.backends.torch.signatures import Signature, call_tree, helper_signatures, torch_signatures
from netdsl.backends.torch.tree import Apply, Group, Node, Num, Text
from netdsl.ops.base import Call, Code, Op, Torch, X
from netdsl.sizes.dims import Size
from netdsl.tensors import TensorType


class Forms:
    """Turns the forms of ops into trees; collects the helpers they need and the signatures they bring."""

    def __init__(self) -> None:
        self.signatures: dict[str, Signature] = torch_signatures()
        self.helpers: dict[str, None] = {}

    def of(self, op: Op, types: tuple[TensorType, ...]) -> Torch:
        """The PyTorch form of an op; its helper is remembered."""
        form = op.torch(*types)
        if form.helper and form.helper not in self.helpers:
            self.helpers[form.helper] = None
            self.signatures |= helper_signatures(form.helper, self.signatures)
        return form

    def is_tensor(self, op: Op, types: tuple[TensorType, ...]) -> bool:
        """Whether the layer of an op is a tensor, which is read and not called."""
        form = self.of(op, types)
        return form.parameter is not None or form.buffer is not None

    def constructor(self, form: Torch) -> Node:
        """The tree that constructs the layer of a form, or its tensor."""
        if form.parameter is not None:
            return Apply("nn.Parameter", (self.tree(form.parameter),))
        if form.buffer is not None:
            return Apply("nn.Buffer", (self.tree(form.buffer),), (("persistent", Num(False)),))
        assert form.module is not None
        return self.tree(form.module)

    def expression(self, form: Torch, reads: Sequence[Node], express: Callable[[Size], Node]) -> Node:
        """The tree of a form's expression over the values `reads`."""
        return self.tree(form.expression, reads, express)

    def tree(self, item: Any, reads: Sequence[Node] = (), express: Callable[[Size], Node] | None = None) -> Node:
        """A form, or a part of one, as a tree."""
        match item:
            case X(index):
                return reads[index]
            case Code(text):
                return Text(text)
            case Size():
                assert express is not None, "a layer cannot be sized by a named size"
                return express(item)
            case tuple() | list():
                items = tuple(self.tree(i, reads, express) for i in item)
                return Group(items, "(" if all(isinstance(i, Num | Group) for i in items) else "[")
            case Call(name, args, kwargs):
                inner = tuple(self.tree(a, reads, express) for a in args)
                named = tuple((k, self.tree(v, reads, express)) for k, v in kwargs)
                return call_tree(Call(name), inner, named, self.signatures)
        return Num(item)
