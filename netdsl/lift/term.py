"""A spec's expressions as terms, each made once: equal terms are one object, so that comparing them costs nothing.

A term has a head, literal fields and terms inside. Two terms are equal up to numbers where their skeletons, the terms
without their literals, are one object.

heads: `op:KIND` (fields: its arguments; inside: its operands, and what flows in where it takes several values), `it`,
`ref` (a named value), `let` (fields: the names; inside: a sequence), `seq` (statements, one after another, of one
value), `residual` (inside: shortcut, branch), `repeat`, `for`, `use:BLOCK` (fields: its arguments), `output`.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct

from netdsl.lift.names import free as spare
from netdsl.ops import REGISTRY
from netdsl.ops.base import Op

Fields = tuple[tuple[str, Any], ...]
SHARED = "shared:"
"""Heads of uses of a shared layer: `shared:NAME`."""


class Term:
    """An interned term: compared and hashed by identity."""

    __slots__ = ("fields", "free", "head", "kids", "parts", "size")

    def __init__(self, head: str, fields: Fields, kids: tuple[Term, ...]) -> None:
        self.head, self.fields, self.kids = head, fields, kids
        self.free: frozenset[str] | None = None
        self.parts: tuple[Term, tuple[Any, ...]] | None = None
        self.size = 0
        """How long it is to write; 0 until it is asked for."""


_TERMS: dict[tuple[Any, ...], Term] = {}


def term(head: str, fields: Fields = (), kids: tuple[Term, ...] = ()) -> Term:
    """The one term of this head, these fields and these terms inside."""
    key = (head, tuple((n, type(v), v) for n, v in fields), kids)
    found = _TERMS.get(key)
    if found is None:
        found = _TERMS[key] = Term(head, fields, kids)
    return found


IT = term("it")


def forget() -> None:
    """Drop all terms: those of one net are of no use to the next."""
    _TERMS.clear()
    _CANONICAL.clear()
    _TERMS["it", (), ()] = IT


def seq(items: tuple[Term, ...]) -> Term:
    """Terms one after another, with sequences inside opened."""
    flat = [k for i in items for k in (i.kids if i.head == "seq" else (i,)) if k.head != "it"]
    return flat[0] if len(flat) == 1 else term("seq", (), tuple(flat)) if flat else IT


def items(found: Term) -> tuple[Term, ...]:
    """The members of a sequence; another term is its own only member."""
    return found.kids if found.head == "seq" else () if found.head == "it" else (found,)


class Hole:
    """Where a literal stands in a skeleton."""

    def __repr__(self) -> str:
        return "?"


HOLE = Hole()


def parts(found: Term) -> tuple[Term, tuple[Any, ...]]:
    """The skeleton of a term, and its literals in the order in which they stand."""
    if found.parts is None:
        fields: list[tuple[str, Any]] = []
        values: list[Any] = []
        for name, value in found.fields:
            shape, inside = _opened(value)
            fields.append((name, shape))
            values += inside
        kids = [parts(k) for k in found.kids]
        values += [v for _, inside in kids for v in inside]
        found.parts = term(found.head, tuple(fields), tuple(k for k, _ in kids)), tuple(values)
    return found.parts


def _opened(value: Any) -> tuple[Any, list[Any]]:
    """A literal as a skeleton: a tuple keeps its length, names of values and patterns stay."""
    if isinstance(value, tuple):
        inner = [_opened(v) for v in value]
        return tuple(s for s, _ in inner), [v for _, vs in inner for v in vs]
    if isinstance(value, str | WeightOf | Beside):
        return value, []
    return HOLE, [value]


def filled(skeleton: Term, values: Iterator[Any]) -> Term:
    """A skeleton with literals in its holes, in order."""
    fields = tuple((name, _closed(value, values)) for name, value in skeleton.fields)
    return term(skeleton.head, fields, tuple(filled(k, values) for k in skeleton.kids))


def _closed(value: Any, values: Iterator[Any]) -> Any:
    if isinstance(value, tuple):
        return tuple(_closed(v, values) for v in value)
    return next(values) if isinstance(value, Hole) else value


def labels(found: Term) -> Iterator[str]:
    """For each hole of a term's skeleton, in order: what the literal there is (`conv.out_channels`)."""
    for name, value in found.fields:
        count = len(_opened(value)[1])
        yield from [f"{found.head.partition(':')[2] or found.head}.{name}"] * count
    for kid in found.kids:
        yield from labels(kid)


class WeightOf(Struct, frozen=True):
    """The weight of a shared layer, as an argument."""

    name: str

    def __str__(self) -> str:
        return f"{self.name}.weight"


class Beside(Struct, frozen=True):
    """A value that a block is given beside what flows, as an argument."""

    name: str

    def __str__(self) -> str:
        return self.name


def shared_name(found: Term) -> str:
    """The name of the shared layer that a term is a use of, or nothing."""
    return found.head[len(SHARED) :] if found.head.startswith(SHARED) else ""


def use_of(share: str, given: Sequence[str] = (), others: Sequence[Term] = ()) -> Term:
    """A use of a shared layer on what flows, and on `others`, which are called `given`."""
    return term(SHARED + share, (("given", tuple(given)),) if given else (), tuple(others))


def free(found: Term) -> frozenset[str]:
    """The names that a term reads and does not bind."""
    if found.free is None:
        found.free = _free(found)
    return found.free


def _free(found: Term) -> frozenset[str]:
    if found.head == "ref":
        return frozenset((found.fields[0][1],))
    if found.head == "seq":
        return free_of(found.kids)
    own = {v.name for _, v in found.fields if isinstance(v, WeightOf | Beside)} | {shared_name(found)} - {""}
    return frozenset(own).union(*map(free, found.kids))


def _renamed_value(value: Any, names: Mapping[str, str]) -> Any:
    return Beside(names.get(value.name, value.name)) if isinstance(value, Beside) else value


def renamed(found: Term, names: Mapping[str, str]) -> Term:
    """A term that reads values by other names."""
    if not names or free(found).isdisjoint(names):
        return found
    if found.head == "ref":
        return term("ref", (("name", names[found.fields[0][1]]),))
    if found.head != "seq":
        fields = tuple((n, _renamed_value(v, names)) for n, v in found.fields)
        return term(found.head, fields, tuple(renamed(k, names) for k in found.kids))
    made: list[Term] = []
    for kid in found.kids:
        made.append(renamed(kid, names))
        names = {old: new for old, new in names.items() if old not in bound(kid)}
    return term("seq", (), tuple(made))


def canonical(run: Sequence[Term]) -> tuple[tuple[Term, ...], tuple[str, ...]]:
    """Statements whose names are those of their places, and the names that they read and do not bind, in order."""
    key = tuple(run)
    if key not in _CANONICAL:
        whole = free_of(key)
        outer = dict.fromkeys(n for s in key for n in _read(s) if n in whole) if whole else {}
        names = {name: f"{BESIDE}{i}" for i, name in enumerate(outer)}
        _CANONICAL[key] = tuple(_canonical(key, names, [0])), tuple(outer)
    return _CANONICAL[key]


_CANONICAL: dict[tuple[Term, ...], tuple[tuple[Term, ...], tuple[str, ...]]] = {}


BESIDE, OWN = "beside ", "own "
"""How names are called by their place: no name has a blank in it."""


def _read(found: Term) -> Iterator[str]:
    """The names that a term mentions, in the order of its text."""
    if found.head == "ref":
        yield found.fields[0][1]
    yield from (v.name for _, v in found.fields if isinstance(v, Beside))
    for kid in found.kids:
        yield from _read(kid)


def _canonical(run: Iterable[Term], names: dict[str, str], count: list[int]) -> Iterator[Term]:
    """Statements by the names of their places; `count`: how many names were bound so far."""
    for found in run:
        made = _canonical_one(found, names, count)
        if found.head != "let":
            yield made
            continue
        for name in found.fields[0][1]:
            names[name] = name if name == "_" else f"{OWN}{count[0]}"
            count[0] += 1
        yield term("let", (("names", tuple(names[n] for n in found.fields[0][1])),), made.kids)


def _canonical_one(found: Term, names: dict[str, str], count: list[int]) -> Term:
    if found.head == "ref":
        name = found.fields[0][1]
        return term("ref", (("name", names.get(name, name)),))
    if found.head == "seq":
        return seq(tuple(_canonical(found.kids, dict(names), count)))
    fields = tuple((n, _renamed_value(v, names)) for n, v in found.fields)
    return term(found.head, fields, tuple(_canonical_one(k, names, count) for k in found.kids))


def said(found: Term, beside: Sequence[str], taken: set[str]) -> Term:
    """A term of canonical names with names that can be written."""
    names = {f"{BESIDE}{i}": name for i, name in enumerate(beside)}
    own = sorted({n for t in walk(found) for n in bound(t) if n.startswith(OWN)}, key=lambda n: int(n[len(OWN) :]))
    for name in own:
        names[name] = spare("x", taken | set(names.values()))
    return _said(found, names)


def _said(found: Term, names: Mapping[str, str]) -> Term:
    fields: list[tuple[str, Any]] = []
    for name, value in found.fields:
        if found.head in ("ref", "let"):
            value = tuple(names.get(v, v) for v in value) if isinstance(value, tuple) else names.get(value, value)
        fields.append((name, _renamed_value(value, names)))
    return term(found.head, tuple(fields), tuple(_said(k, names) for k in found.kids))


def free_of(statements: Iterable[Term]) -> frozenset[str]:
    """The names that statements read before they bind them."""
    names: frozenset[str] = frozenset()
    own: frozenset[str] = frozenset()
    for statement in statements:
        names |= free(statement) - own
        own |= bound(statement)
    return names


def bound(found: Term) -> frozenset[str]:
    """The names that a statement binds."""
    if found.head == "share":
        return frozenset((found.fields[0][1],))
    return frozenset(found.fields[0][1]) if found.head == "let" else frozenset()


class Later:
    """The names that statements read, by the places where they are read or bound."""

    def __init__(self, statements: Sequence[Term]) -> None:
        self.met: dict[str, list[tuple[int, bool]]] = {}
        for place, statement in enumerate(statements):
            read = free(statement)
            for name in read | bound(statement):
                self.met.setdefault(name, []).append((place, name in read))

    def reads(self, names: Collection[str], start: int) -> bool:
        """Whether the statements from a place on read one of some names before they bind it."""
        found = ((at, bisect_left(at, (start,))) for at in (self.met.get(n, ()) for n in names))
        return any(i < len(at) and at[i][1] for at, i in found)


def size(found: Term) -> int:
    """How long a term is to write, in words: itself, its arguments that differ from the usual, what is inside."""
    if not found.size:
        own = 0 if found.head == "seq" else 1 + sum(_words(found, n, v) for n, v in found.fields)
        found.size = own + sum(map(size, found.kids))
    return found.size


def _words(found: Term, name: str, value: Any) -> int:
    if found.head.startswith("op:") and is_default(REGISTRY[found.head[3:]], name, value):
        return 0
    if isinstance(value, tuple):
        return sum(_words(found, "", v) for v in value)
    return 1


def is_default(op: type[Op], name: str, value: Any) -> bool:
    """Whether an argument is what it is without being written."""
    names, defaults = op.__struct_fields__, op.__struct_defaults__
    index = names.index(name) - len(names) + len(defaults) if name in names else -1
    return index >= 0 and type(value) is type(defaults[index]) and bool(value == defaults[index])


def walk(found: Term) -> Iterator[Term]:
    """A term and all inside, as often as they are written."""
    yield found
    for kid in found.kids:
        yield from walk(kid)
