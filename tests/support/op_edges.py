"""Random uses of ops: arguments drawn from their types, at the edges of what they may be; inputs of any shape."""

from __future__ import annotations

from random import Random
from typing import Any

import msgspec
from msgspec import inspect
from op_harness import Use

from netdsl.ops import REGISTRY
from netdsl.tensors import TensorType

WHOLE = (0, 1, 1, 2, 2, 3, 3, 4, 5, 6, 7, -1, -2, -3, 9, 20)
REAL = (0.0, 0.5, 1.0, -1.0, 2.0, 1e-5, 3.0, 1.5, 0.1)
SIZES = (1, 2, 3, 4, 4, 6, 8, 9)
DTYPES = ("float32",) * 8 + ("int64", "int64", "bool")
FIRST = {"embed": "int64", "one_hot": "int64", "logical_not": "bool", "where": "bool"}
"""What the first input of an op must be, most often."""


def drawn_use(kind: str, random: Random) -> Use | None:
    """A use of an op, which its rules may refuse; None where an argument is of a type that it doesn't take."""
    cls = REGISTRY[kind]
    info = inspect.type_info(cls)
    assert isinstance(info, inspect.StructType)
    given = {f.name: _value(random, f.type) for f in info.fields if f.required or random.random() < 0.5}
    types = _types(cls, random)
    if "pattern" in cls.__struct_fields__:
        given |= _pattern(cls, random, types)
    use = Use.__new__(Use)
    use.name = use.text = f"{kind} {given} on {' '.join(map(str, types))}"
    use.types = types
    try:
        use.given = msgspec.convert(given, cls)
    except msgspec.ValidationError:
        return None
    return use


def _value(random: Random, kind: inspect.Type) -> Any:
    match kind:
        case inspect.UnionType():
            return _value(random, random.choice(kind.types))
        case inspect.IntType():
            return random.choice(WHOLE)
        case inspect.FloatType():
            return random.choice(REAL)
        case inspect.BoolType():
            return random.random() < 0.5
        case inspect.LiteralType():
            return random.choice(kind.values)
        case inspect.VarTupleType():
            return tuple(_value(random, kind.item_type) for _ in range(random.choice((0, 1, 2, 2, 3, 3, 4))))
        case inspect.TupleType():
            return tuple(_value(random, item) for item in kind.item_types)
        case inspect.AnyType():
            several = tuple(random.choice(WHOLE) for _ in range(random.randint(1, 3)))
            return random.choice((random.choice(WHOLE), several, 1.5))
    return None


def _pattern(cls: Any, random: Random, types: tuple[TensorType, ...]) -> dict[str, Any]:
    """A pattern over the axes of the inputs, most often one that fits, and sizes of what it cuts."""
    names, sizes, sides = iter("abcdefghijkmpqrstuvz" * 3), {}, []
    by_size: dict[int, str] = {}
    for t in types:
        side = []
        for size in t.shape:
            if not cls.named_sizes:
                side.append(by_size.setdefault(size, next(names)) if random.random() < 0.6 else next(names))
            elif size == 1 and random.random() < 0.5:
                side.append("1")
            elif size % 2 == 0 and random.random() < 0.4:
                outer, inner = next(names), next(names)
                side.append(f"({outer} {inner})")
                sizes[random.choice((outer, inner))] = 2
            else:
                side.append(next(names))
        sides.append(" ".join(side))
    kept = sorted(set("".join(sides)) - set("() 1"))
    random.shuffle(kept)
    if cls.kind != "rearrange":
        kept = kept[: random.randint(0, len(kept))]
    groups = [f"({' '.join(kept[:2])})", *kept[2:]] if cls.named_sizes and random.random() < 0.5 else kept
    text = f"{', '.join(sides)} -> {' '.join(groups)}"
    return {"pattern": text} | ({cls.named_sizes: tuple(sizes.items())} if cls.named_sizes else {})


def _types(cls: Any, random: Random) -> tuple[TensorType, ...]:
    count = cls.takes_it + len(cls.operands)
    if cls.variadic:
        count = random.randint(1, 3)
    elif cls.optional_operands and random.random() < 0.6:
        count += 1
    types: list[TensorType] = []
    for _ in range(count):
        types.append(_type(random, types[0] if types else None))
    if types and random.random() < 0.8:
        types[0] = TensorType(types[0].shape, FIRST.get(cls.kind, types[0].dtype))
    if "index" in cls.operands and random.random() < 0.9:
        types[1] = TensorType(types[0].shape[:1] or (3,), "int64")
    if cls.kind == "masked_fill" and random.random() < 0.9:
        types[1] = TensorType(types[0].shape, "bool")
    return tuple(types)


def _type(random: Random, like: TensorType | None) -> TensorType:
    if like is not None and random.random() < 0.75:
        shape = list(like.shape)
        if shape and random.random() < 0.3:
            shape[random.randrange(len(shape))] = random.choice(SIZES)
        if random.random() < 0.2:
            shape = shape[random.randrange(len(shape) + 1) :]
    else:
        shape = [random.choice(SIZES) for _ in range(random.choice((0, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3, 4, 4, 5)))]
    return TensorType(tuple(shape), random.choice(DTYPES))
