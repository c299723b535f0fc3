"""The PyTorch forms of ops as trees: their inputs become values of the definition, their sizes shapes of its inputs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from netdsl.backends.torch.signatures import Signature, call_tree, helper_signatures, torch_signatures
from netdsl.backends.torch.tree import Apply, Group, Node, Num, Read, Shape, Text, walk
from netdsl.backends.torch.tree import Field as TreeField
from netdsl.ops.base import Call, Code, Field, Op, Torch, X
from netdsl.ops.helper import whole, with_options
from netdsl.sizes.dims import Size
from netdsl.tensors import TensorType


class Forms:
    """Turns the forms of ops into trees; collects the helpers they need and the signatures they bring."""

    def __init__(self) -> None:
        self.signatures: dict[str, Signature] = torch_signatures()
        self.used: dict[str, set[str]] = {}
        """The helpers that were needed, each with the options that some form has."""
        self.imports: dict[str, None] = {}
        """The modules beside torch's that the forms need, in the order in which they were needed."""
        self.owners: dict[str, str] = {}
        """The helpers by the classes in them."""

    def of(self, op: Op, types: tuple[TensorType, ...]) -> Torch:
        """The PyTorch form of an op; its helper is remembered."""
        form = op.torch(*types)
        self.imports |= dict.fromkeys(form.imports)
        if form.helper and form.helper not in self.used:
            self.used[form.helper] = set()
            own = helper_signatures(whole(form.helper), self.signatures)
            self.signatures |= own
            self.owners |= dict.fromkeys(own, form.helper)
        if form.helper:
            given = form.module.kwargs if form.module is not None else ()
            self.used[form.helper].update(form.options, (name for name, _ in given))
        return form

    def is_tensor(self, op: Op, types: tuple[TensorType, ...]) -> bool:
        """Whether the layer of an op is a tensor, which is read and not called."""
        form = self.of(op, types)
        return form.parameter is not None or form.buffer is not None

    def helpers(self, trees: Iterable[Node]) -> list[str]:
        """The helpers' texts, in the order in which they were needed, with the options that calls in trees give too:
        an argument of a class may stand for an option that no form has in this net."""
        for node in (node for tree in trees if self.owners for node in walk(tree)):
            if isinstance(node, Apply) and isinstance(node.function, str) and node.function in self.owners:
                _, named = self.signatures[node.function].spell(node.args)
                self.used[self.owners[node.function]].update(name for name, _ in named)
        return [with_options(helper, used) for helper, used in self.used.items()]

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
            case Field(name, value):
                return TreeField(name, Num(value))
            case Size():
                assert express is not None, "a layer cannot be sized by a named size"
                return express(item)
            case tuple() | list():
                return _group(tuple(self.tree(i, reads, express) for i in item))
            case Call(name, args, kwargs):
                inner = tuple(self.tree(a, reads, express) for a in args)
                named = tuple((k, self.tree(v, reads, express)) for k, v in kwargs)
                return call_tree(Call(name), inner, named, self.signatures)
        return Num(item)


def _group(items: tuple[Node, ...]) -> Group:
    """A tuple of numbers, or a list of what is computed."""
    computed = any(isinstance(n, Read | Shape | Text) for item in items for n in walk(item))
    return Group(items, "[" if computed else "(")
