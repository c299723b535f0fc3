"""Changes that say the same in several places, told once: what a page and a terminal show of a comparison."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence

from msgspec import Struct

from netdsl.diff.fields import CALLEE
from netdsl.diff.model import Cost, Entry, Field, Owned, Pair

ARROW = "\N{RIGHTWARDS ARROW}"
WITHIN = "\N{SINGLE RIGHT-POINTING ANGLE QUOTATION MARK}"
TIMES = "\N{MULTIPLICATION SIGN}"

VALUES = 5
"""How many values of an argument are listed."""

Signature = tuple[Hashable, ...]


class Told(Struct, frozen=True, eq=False):
    """An entry that is told of, and the labelled part of the net that it stands in (`stages.1`). `owned`: whether what
    is around it has its own parameters."""

    entry: Entry
    part: str = ""
    owned: Owned = (True, True)


class Rest(Struct, frozen=True):
    """Layers and functions of which nothing is told, as only their sizes changed: how many, and what they cost more."""

    count: int = 0
    cost: Cost = Cost()

    def __add__(self, other: Rest) -> Rest:
        return Rest(self.count + other.count, self.cost + other.cost)


class Group(Struct, frozen=True, eq=False):
    """Entries that say the same, the groups of what changed inside of them, and what else did so in size only."""

    told: tuple[Told, ...]
    inside: tuple[Group, ...]
    rest: Rest = Rest()

    @property
    def entries(self) -> list[Entry]:
        return [t.entry for t in self.told]

    @property
    def first(self) -> Entry:
        return self.told[0].entry

    @property
    def sign(self) -> str:
        """`+` new, `-` gone, `>` moved, `~` changed."""
        return {"added": "+", "removed": "-"}.get(self.first.kind, ">" if self.first.moved else "~")

    @property
    def delta(self) -> Cost:
        """The difference in cost, over all entries."""
        return sum((t.entry.delta(t.owned) for t in self.told), Cost())

    @property
    def labels(self) -> list[str]:
        """The names of the blocks or ops: one, or that before and that after."""
        return list(dict.fromkeys(i.label for i in self.first.items))

    @property
    def plain(self) -> bool:
        """Whether all there is to say is what is inside."""
        changes = self.fields or self.first.moved or len(self.labels) > 1
        return not changes and self.first.kind == "changed"

    @property
    def fields(self) -> list[str]:
        """The differences in words, with the values of all entries: `groups 1 → 64, 128`."""
        return _told_fields([f for e in self.entries for f in e.fields if f.name != CALLEE])

    @property
    def places(self) -> list[str]:
        """Where what has moved stood and stands, in words: `moved`, `reads conv → x`."""
        seen = [f for e in self.entries for f in e.moved if f.before != f.after]
        return ["moved", *_told_fields(seen)] if self.first.moved else []

    @property
    def arguments(self) -> list[str]:
        """The arguments of blocks that both sides have and that differ."""
        every = [f for e in self.entries for f in e.arguments if f.before is not None and f.after is not None]
        return _told_fields(every)

    @property
    def title(self) -> str:
        """A title: where, names that say something, and the block or the op, with how many there are."""
        parts = _span(list(dict.fromkeys(t.part for t in self.told if t.part)))
        name, text = self._name(), f" {ARROW} ".join(self.labels)
        if name and name != text:
            text = f"{name} {text}" if name.rpartition(".")[0] != text else name
        text = f"{text} {TIMES} {len(self.told)}" if len(self.told) > 1 else text
        return f"{parts} {WITHIN} {text}" if parts else text

    def _name(self) -> str:
        """The names of the layers in short, where each of them says something."""
        names = dict.fromkeys(t.entry.items[-1].name for t in self.told)
        saying = [n for n in names if not n.isdigit()]
        return "" if any(_made_of(n, self.labels) for n in saying) else _span(saying)


def groups(entries: Iterable[Entry]) -> tuple[tuple[Group, ...], Rest]:
    """The entries that a reader should be told of, those that say the same together, in order; and the rest."""
    return _gathered(map(Told, entries), {})


def _gathered(entries: Iterable[Told], memo: dict[Pair, Signature]) -> tuple[tuple[Group, ...], Rest]:
    found: dict[Signature, list[Told]] = {}
    rest = Rest()
    for told in _parts(entries):
        if told.entry.differs:
            found.setdefault(_signature(told.entry, memo), []).append(told)
        else:
            rest += _resized(told.entry, told.owned)
    return tuple(Group(tuple(f), *_gathered(_inside(f), memo)) for f in found.values()), rest


def _resized(entry: Entry, owned: Owned) -> Rest:
    """The sizes that changed in a step of which nothing else is told."""
    if entry.body is not None:
        return sum((_resized(e, entry.inside(owned)) for e in entry.body.entries), Rest())
    return Rest(1, entry.delta(owned)) if entry.kind == "resized" else Rest(0, entry.delta(owned))


def _parts(entries: Iterable[Told]) -> Iterator[Told]:
    """Entries, and in the place of labelled parts of the net of which there is nothing to say, what they hold."""
    for told in entries:
        entry = told.entry
        if entry.body is None or entry.fields or entry.body.fields or not _is_part(entry):
            yield told
        else:
            name = entry.items[-1].name
            part = f"{told.part} {WITHIN} {name}" if told.part else name
            yield from _parts(Told(e, part, entry.inside(told.owned)) for e in entry.body.entries)


def _is_part(entry: Entry) -> bool:
    """Whether an entry is a labelled part of a net on both sides: `stages.0`, a definition of its own."""
    return all(item.label in item.name.split(".") for item in entry.items)


def _inside(told: list[Told]) -> Iterator[Told]:
    for t in told:
        for inner in t.entry.body.entries if t.entry.body is not None else ():
            yield Told(inner, "", t.entry.inside(t.owned))


def _signature(entry: Entry, memo: dict[Pair, Signature]) -> Signature:
    """A key of an entry without its numbers."""
    sides = tuple(side.label if side else None for side in (entry.before, entry.after))
    names = tuple(f.name for f in entry.fields)
    return entry.kind, bool(entry.moved), sides, names, _of_body(entry.body, memo) if entry.body else ()


def _of_body(pair: Pair, memo: dict[Pair, Signature]) -> Signature:
    if pair not in memo:
        memo[pair] = tuple(dict.fromkeys(_signature(e, memo) for e in pair.entries if e.differs))
    return memo[pair]


def _told_fields(fields: Sequence[Field]) -> list[str]:
    """Differences in words, one for each name."""
    return [changed(name, [f for f in fields if f.name == name]) for name in dict.fromkeys(f.name for f in fields)]


def _span(names: Sequence[str]) -> str:
    """Names in short: the first and the last of many."""
    return ", ".join(names) if len(names) < 3 else f"{names[0]} ... {names[-1]}"


def changed(name: str, fields: Sequence[Field]) -> str:
    """A change of one argument in several places: `groups 1 → 64, 128`."""
    pairs = dict.fromkeys((f.before, f.after) for f in fields)
    before, after = ([v for v in dict.fromkeys(side) if v is not None] for side in zip(*pairs, strict=True))
    if any(None in pair for pair in pairs):
        return f"{name} {_listed([*before, *after])}"
    if set(before) & set(after) and len(pairs) > 1:
        return f"{name} {_listed([f'{a} {ARROW} {b}' for a, b in pairs], VALUES - 1)}"
    return f"{name} {_listed(before)} {ARROW} {_listed(after)}"


def _listed(shown: Sequence[str], most: int = VALUES) -> str:
    return ", ".join(shown) if len(shown) <= most else ", ".join([*shown[: most - 1], "..."])


def _made_of(name: str, labels: Sequence[str]) -> bool:
    """Whether the name of a layer is the one it gets from its block or op: `conv_bn1` of `ConvBN`."""
    last = name.rpartition(".")[2].rstrip("0123456789").replace("_", "").lower()
    return not last or last in {label.replace("_", "").lower() for label in labels}
