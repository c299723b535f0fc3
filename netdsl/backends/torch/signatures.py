"""Signatures of PyTorch's layers: which arguments have names and defaults, without importing torch.

With them a call that leaves `stride` out and one that gives it are the same call with different numbers. A function
that is not listed keeps the arguments it was given.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping

from msgspec import Struct

from netdsl.backends.torch.tree import Apply, Cycle, Node, Num, number, same
from netdsl.ops.base import Call

KNOWN = """
def Conv1d(
    in_channels, out_channels, kernel_size,
    stride=1, padding=0, dilation=1, groups=1, bias=True, padding_mode="zeros",
): ...
def ConvTranspose1d(
    in_channels, out_channels, kernel_size,
    stride=1, padding=0, output_padding=0, groups=1, bias=True, dilation=1,
): ...
def Linear(in_features, out_features, bias=True): ...
def BatchNorm1d(num_features, eps=1e-5, momentum=0.1, affine=True): ...
def InstanceNorm1d(num_features, eps=1e-5, momentum=0.1, affine=False): ...
def LayerNorm(normalized_shape, eps=1e-5, elementwise_affine=True, bias=True): ...
def RMSNorm(normalized_shape, eps=None, elementwise_affine=True): ...
def GroupNorm(num_groups, num_channels, eps=1e-5, affine=True): ...
def MaxPool1d(kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False): ...
def AvgPool1d(kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True): ...
def AdaptiveAvgPool1d(output_size): ...
def AdaptiveMaxPool1d(output_size): ...
def LeakyReLU(negative_slope=0.01): ...
def Upsample(size=None, scale_factor=None, mode="nearest", align_corners=None): ...
def Embedding(num_embeddings, embedding_dim): ...
"""
FUNCTIONS = """
def max_pool1d(input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False): ...
def avg_pool1d(input, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True): ...
def adaptive_avg_pool1d(input, output_size): ...
def adaptive_max_pool1d(input, output_size): ...
def leaky_relu(input, negative_slope=0.01): ...
def interpolate(input, size=None, scale_factor=None, mode="nearest", align_corners=None, antialias=False): ...
"""


class Signature(Struct, frozen=True):
    """The names of a function's arguments in order; those with a default are given by name, the others by position.

    `by_name`: arguments without a default that are better given by name all the same.
    """

    names: tuple[str, ...]
    defaults: tuple[tuple[str, Node], ...] = ()
    by_name: tuple[str, ...] = ()

    def bind(self, function: str, args: Iterable[Node], kwargs: Iterable[tuple[str, Node]]) -> Apply | None:
        """The call with all arguments by position, those left out included; None where it does not fit."""
        given = dict(zip(self.names, args, strict=False)) | dict(kwargs)
        bound = dict(self.defaults) | given
        if bound.keys() != set(self.names):
            return None
        return Apply(function, tuple(bound[name] for name in self.names))

    def spell(self, args: Iterable[Node]) -> tuple[tuple[Node, ...], tuple[tuple[str, Node], ...]]:
        """The arguments of a bound call as a person gives them: by position, and those that differ by name."""
        defaults = dict(self.defaults)
        bound = dict(zip(self.names, args, strict=True))
        first = next((i for i, v in enumerate(bound.values()) if isinstance(v, Cycle)), len(bound))
        by_name = {*self.by_name, *(n for n in self.names[first:] if n not in defaults)}
        named = {n: v for n, v in bound.items() if (n in defaults and not _equal(v, defaults[n])) or n in by_name}
        return tuple(v for n, v in bound.items() if n not in defaults and n not in named), tuple(named.items())


def _equal(a: Node, b: Node) -> bool:
    return same(a.value, b.value) if isinstance(a, Num) and isinstance(b, Num) else a == b


def read_signature(
    function: ast.FunctionDef, base: Signature | None = None, *, method: bool = False
) -> Signature | None:
    """The signature of a function in Python text; one that takes any number of arguments gives them to `base`."""
    given = function.args
    names = [a.arg for a in given.args][1 if method else 0 :]
    values = [number(ast.literal_eval(d)) for d in given.defaults]
    defaults = dict(zip(names[len(names) - len(values) :], values, strict=True))
    if given.vararg or given.kwarg:
        if base is None or names:
            return None
        names, defaults = list(base.names), dict(base.defaults)
    for argument, value in zip(given.kwonlyargs, given.kw_defaults, strict=True):
        names.append(argument.arg)
        if value is not None:
            defaults[argument.arg] = number(ast.literal_eval(value))
    return Signature(tuple(names), tuple(defaults.items()))


def torch_signatures() -> dict[str, Signature]:
    """The signatures of PyTorch's layers, by the name under which they are called."""
    found: dict[str, Signature] = {}
    for module, text in (("nn", KNOWN), ("F", FUNCTIONS)):
        for function in ast.parse(text).body:
            assert isinstance(function, ast.FunctionDef)
            signature = read_signature(function)
            assert signature is not None
            for axes in "123" if function.name.endswith("1d") else " ":
                found[f"{module}.{function.name.replace('1d', f'{axes}d')}"] = signature
    return found


def helper_signatures(helper: str, known: Mapping[str, Signature]) -> dict[str, Signature]:
    """The signatures of the classes in a helper's text: their own, or that of the layer they extend."""
    found: dict[str, Signature] = {}
    for item in ast.parse(helper).body:
        if not isinstance(item, ast.ClassDef):
            continue
        own = [f for f in item.body if isinstance(f, ast.FunctionDef) and f.name == "__init__"]
        base = known.get(ast.unparse(item.bases[0])) if item.bases else None
        signature = read_signature(own[0], base, method=True) if own else base
        if signature is not None:
            found[item.name] = signature
    return found


def call_tree(
    call: Call, args: tuple[Node, ...], kwargs: tuple[tuple[str, Node], ...], known: Mapping[str, Signature]
) -> Apply:
    """A call of a PyTorch form as a tree, with its arguments bound where the signature is known."""
    bound = known[call.name].bind(call.name, args, kwargs) if call.name in known else None
    return bound or Apply(call.name, args, kwargs)
