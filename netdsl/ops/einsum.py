"""Products of values summed over named axes: `einsum`."""

import re
from collections.abc import Sequence
from string import ascii_letters
from typing import Any

from netdsl.ops.base import Call, Example, Graph, Op, Operand, OpError, Torch, X, register
from netdsl.ops.features import floating, is_bare, same_elements, unclear
from netdsl.ops.lowering import reshaped
from netdsl.ops.patterns import Pattern, bind, features_of, flat, read_pattern
from netdsl.sizes.constraints import Assumptions
from netdsl.sizes.dims import Dim, product
from netdsl.tensors import TensorType

MOST_NAMES = len(ascii_letters) - 1
"""The most axes of an equation: a letter for each, and one for the batch."""


@register("einsum")
class Einsum(Op, frozen=True):
    """Products of values, summed over the axes that the result does not name, as torch.einsum, without the batch:
    `einsum("h l d, h m d -> h l m", q, k)` are the scores of attention. Names of axes are words."""

    pattern: str

    positional = 1
    variadic = True
    takes_it = False
    examples = (
        Example('einsum("h l d, h m d -> h l m", x, y)', ("[2, 5, 4]", "[2, 6, 4]")),
        Example('einsum("l d, d e -> l e", x, y)', ("[5, 4]", "[4, 3]")),
        Example('einsum("c h w, c -> h w", x, y)', ("[4, 5, 6]", "[4]")),
        Example('einsum("i, j -> j i", x, y)', ("[3]", "[4]")),
        Example('einsum("length dim, length dim -> dim", x, y)', ("[5, 4]", "[5, 4]")),
        Example('einsum("d, d ->", x, y)', ("[7]", "[7]")),
        Example('einsum("l d, d e, e -> l", x, y, z)', ("[5, 4]", "[4, 3]", "[3]")),
        Example('einsum("l d -> d", x)', ("[5, 4]",)),
    )

    def infer(self, assume: Assumptions, *inputs: TensorType) -> TensorType:
        sizes = self._sizes(assume, *inputs)
        same_elements("einsum", *inputs)
        shape = tuple(sizes[n] for n in flat(self._read().result))
        return TensorType(shape, inputs[0].dtype, any(x.batched for x in inputs))

    def features(self, result: TensorType, *inputs: TensorType) -> int | None:
        """That of the inputs' features which alone is left in the result."""
        pattern = self._read()
        names = flat(pattern.result)
        left = {n for side, x in zip(pattern.inputs, inputs, strict=True) for n in features_of(flat(side), x)} & {
            *names
        }
        return unclear(result) if result.rank <= 2 or len(left) != 1 else names.index(left.pop())

    def macs(self, output: TensorType, *inputs: TensorType) -> Dim:
        """Value by value from the left; a product without a sum counts nothing."""
        sizes = self._sizes(Assumptions(), *inputs)
        pattern = self._read()
        total: Dim = 0
        left, *rest = (set(flat(side)) for side in pattern.inputs)
        for i, right in enumerate(rest):
            later = set(flat(pattern.result)).union(*rest[i + 1 :])
            left, right = (own & (other | later) for own, other in ((left, right), (right, left)))
            both = left | right
            if both - later:
                total = total + product(sizes[n] for n in both)
            left = both & later
        return total

    def torch(self, *inputs: TensorType) -> Torch:
        values = (Call(".reshape", (X(i), 1, *x.shape)) if is_bare(x) else X(i) for i, x in enumerate(inputs))
        return Torch(expression=Call("torch.einsum", (self._equation(), *values)))

    def onnx(self, g: Graph, *x: Operand) -> Any:
        """A batch of 1 beside another is no axis: ONNX takes sizes of one letter for equal."""
        if not any(o.type.batched for o in x):
            names = [reshaped(g, o, *o.type.shape) if is_bare(o.type) else o.name for o in x]
            return g.op("Einsum", *names, equation=self._equation())
        names = [o.name if o.type.batched else self._single(g, o) for o in x]
        return g.op("Einsum", *names, equation=self._equation([o.type.batched for o in x]))

    def _single(self, g: Graph, x: Operand) -> Any:
        """A value of one sample without its batch axis, which a vector or a number may lack already."""
        if is_bare(x.type):
            return g.op("Reshape", x.name, g.shape(*x.type.shape, batch=False))
        return g.op("Squeeze", x.name, g.const((0,), "int64"))

    def _read(self) -> Pattern:
        pattern = read_pattern(self.pattern)
        if any(len(group) != 1 for side in (*pattern.inputs, pattern.result) for group in side):
            message = f'"{self.pattern}" joins axes, which `einsum` does not'
            raise OpError(message, argument="pattern", code="argument-value", hint="`rearrange` joins and cuts them")
        if len({n for side in pattern.inputs for n in flat(side)}) > MOST_NAMES:
            message = f"more than {MOST_NAMES} axes: PyTorch and ONNX have a letter for each, and one for the batch"
            raise OpError(message, argument="pattern", code="too-large")
        return pattern

    def _sizes(self, assume: Assumptions, *inputs: TensorType) -> dict[str, Dim]:
        spaced = _spaced(self.pattern, inputs)
        if spaced is not None:
            message = f'axes are words with spaces between them, found "{self.pattern}"'
            raise OpError(message, argument="pattern", code="argument-value", hint=f'`"{spaced}"` is meant')
        pattern = self._read()
        if len(pattern.inputs) != len(inputs):
            message = f'"{self.pattern}" refers to {_values(len(pattern.inputs))}, found {len(inputs)}'
            raise OpError(message, argument="pattern", code="argument-conflict")
        sizes: dict[str, Dim] = {}
        for i, (side, x) in enumerate(zip(pattern.inputs, inputs, strict=True)):
            bind(assume, side, floating(x, "einsum", i), sizes, i)
        return sizes

    def _equation(self, batched: Sequence[bool] = ()) -> str:
        """The equation with a letter for each axis, and one for the batch; `batched`: which inputs have one."""
        pattern = self._read()
        letters: dict[str, str] = {}
        free = [*"n", *ascii_letters.replace("n", "")]
        for name in dict.fromkeys(n for side in pattern.inputs for n in flat(side)):
            letters[name] = name[0] if name[0] in free else free[1]
            free.remove(letters[name])
        has = (*(batched or (True for _ in pattern.inputs)), True)
        *inputs, result = (
            "".join([free[0] * leads, *(letters[n] for n in flat(s))])
            for s, leads in zip((*pattern.inputs, pattern.result), has, strict=True)
        )
        return f"{','.join(inputs)}->{result}"


_LETTERS = re.compile(r"\s*[A-Za-z]+\s*(,\s*[A-Za-z]+\s*)*->\s*[A-Za-z]*\s*")


def _spaced(pattern: str, inputs: tuple[TensorType, ...]) -> str | None:
    """The pattern that is meant by one in PyTorch's spelling, a letter for each axis; None for others."""
    if not _LETTERS.fullmatch(pattern):
        return None
    words = [side.strip() for part in pattern.split("->") for side in part.split(",")]
    beyond = {len(w) - x.rank for w, x in zip(words, inputs, strict=False)}
    batch = beyond == {1} and len({w[:1] for w in words}) == 1
    if max(map(len, words)) == 1 or not (batch or beyond == {0}):
        return None
    *sides, result = (" ".join(w[batch:]) for w in words)
    return f"{', '.join(sides)} -> {result}".rstrip()


def _values(count: int) -> str:
    return f"{count} value{'' if count == 1 else 's'}"
