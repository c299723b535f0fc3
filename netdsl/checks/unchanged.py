"""The parts of a file that need not be checked again: they and all that they use were found to be right before.

What is checked of a declaration depends on its text and on the texts of the declarations that it names, directly or
through others: its `closure`. Only what was found to be right is remembered. A part with a mistake, or one that uses
such a part and may be silent because of it, is checked each time. So diagnostics do not depend on the memory.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from hashlib import sha256

from msgspec import Struct

from netdsl.budget import UNITS
from netdsl.diagnostics.diagnostic import Diagnostic
from netdsl.elaborate.elaborate import Elaborator
from netdsl.elaborate.modules import Module, imported
from netdsl.ir.model import Program
from netdsl.syntax import ast
from netdsl.syntax.parse import left_out
from netdsl.syntax.words import words

AFFORDED = UNITS * 4 // 5
"""Units of work that a check and the checks it relies on may have cost. Beyond that everything is checked: whether the
budget is spent depends on the whole."""


class Finished(Struct, frozen=True, eq=False):
    """A check that has ended, and the units of work it took."""

    spent: int


class Memory:
    """The parts that were found to be right in the last two checks of a text, by their digests."""

    def __init__(self) -> None:
        self.newest: dict[bytes, Finished] = {}
        self.older: dict[bytes, Finished] = {}

    def find(self, key: bytes) -> Finished | None:
        """The check that found a part to be right; None where none did."""
        return self.newest.get(key) or self.older.get(key)

    def keep(self, right: dict[bytes, Finished]) -> None:
        """Take the parts that are right in the newest check."""
        self.older, self.newest = self.newest, right


class Unchanged:
    """The parts of one file that a check may skip. `mistakes`: those of reading the file. Without a memory: none."""

    def __init__(self, module: Module, mistakes: Sequence[Diagnostic], memory: Memory | None) -> None:
        self.module = module
        self.mistakes = mistakes
        self.memory = memory
        self.declarations = module.file.declarations
        self.relied: dict[bytes, Finished] = {}
        self.owed: dict[int, int] = {}
        """Units of work of the checks that are relied on, each once."""
        self.checked: dict[bytes, frozenset[int]] = {}
        self.right: set[bytes] = set()

    def skips(self, what: str, declaration: ast.Node, whole: bool = False) -> bool:
        """Whether `what` was found to be right of a declaration that is as it was then, with all that it names.

        `whole`: it depends on everything that is connected with the declaration through names.
        """
        if self.memory is None:
            return False
        index = self._index[id(declaration)]
        return self._skips(what, self._whole(index) if whole else self.closure(index))

    def changed(self) -> list[ast.Declaration]:
        """The declarations whose lints are to be looked for, with all that is connected with them."""
        if self.memory is None:
            return list(self.declarations)
        kinds = {type(d) for d in self.declarations}
        what = f"lints {bool(self.module.nets)} {ast.Recipe in kinds} {ast.Block in kinds}"
        skipped = {i for component in set(self._components) if self._skips(what, component) for i in component}
        return [d for i, d in enumerate(self.declarations) if i not in skipped]

    def _skips(self, what: str, parts: frozenset[int]) -> bool:
        assert self.memory is not None
        if parts & self._unread:
            return False
        key = self._digest(what, parts)
        found = self.memory.find(key)
        if found is not None and sum({**self.owed, id(found): found.spent}.values()) <= AFFORDED:
            self.relied[key] = found
            self.owed[id(found)] = found.spent
            return True
        self.checked[key] = parts
        return False

    def found(self, diagnostics: Iterable[Diagnostic]) -> None:
        """Take the diagnostics of what was checked since the last time: the parts without any are right."""
        everything = (*self.mistakes, *diagnostics)
        own = sorted(d.at.span.start for d in everything if d.at is not None and d.at.source is self.module.source)
        if len(own) == len(everything):
            spans = [(d.at.start, d.at.end) for d in self.declarations]
            wrong = {i for i, (a, b) in enumerate(spans) if bisect_left(own, a) < bisect_right(own, b)}
            self.right |= {key for key, parts in self.checked.items() if not parts & wrong}
        self.checked = {}

    def remember(self, spent: int) -> None:
        """Keep what is right for the next check. `spent`: units of work that this one took."""
        if self.memory is not None and 0 <= spent <= AFFORDED:
            self.memory.keep({**self.relied, **dict.fromkeys(self.right, Finished(spent))})

    def is_doubtful(self, spent: int) -> bool:
        """Whether a check of everything might have spent the budget, where this one relied on others."""
        return bool(self.relied) and spent + sum(self.owed.values()) > UNITS

    def closure(self, index: int) -> frozenset[int]:
        """A declaration and all that it names, directly or through others."""
        return _reached(index, self._uses)

    def using(self, declaration: ast.Node) -> Iterator[str]:
        """The nets that name a declaration, directly or through others."""
        if id(declaration) in self._index:
            index = self._index[id(declaration)]
            for name in self.module.nets:
                net = self.module.names.get(name)
                if net is not None and id(net) in self._index and index in self.closure(self._index[id(net)]):
                    yield name

    def _whole(self, index: int) -> frozenset[int]:
        """All that is connected with a declaration; everything, where it names no net and so may mean any."""
        declaration = self.declarations[index]
        if isinstance(declaration, ast.Expect | ast.Recipe | ast.Experiment) and declaration.target is not None:
            return self._components[index]
        return frozenset(range(len(self.declarations)))

    def _digest(self, what: str, parts: frozenset[int]) -> bytes:
        digest = sha256(what.encode())
        for i in sorted(parts):
            digest.update(self._digests[i])
        return digest.digest()

    @cached_property
    def _digests(self) -> list[bytes]:
        """A digest of each declaration's text, and of the files that it imports, directly or through others."""
        return [
            sha256(text.encode("utf-8", "surrogatepass") + b"\0" + self._imported(declaration)).digest()
            for text, declaration in zip(self._texts, self.declarations, strict=True)
        ]

    def _imported(self, declaration: ast.Node) -> bytes:
        other = self.module.imports.get(declaration.module) if isinstance(declaration, ast.Import) else None
        modules = () if other is None else (other, *imported(other))
        return b"".join(sha256(m.source.text.encode("utf-8", "surrogatepass")).digest() for m in modules)

    @cached_property
    def _index(self) -> dict[int, int]:
        return {id(d): i for i, d in enumerate(self.declarations)}

    @cached_property
    def _texts(self) -> list[str]:
        text = self.module.source.text
        return [text[d.at.start : d.at.end] for d in self.declarations]

    @cached_property
    def _unread(self) -> frozenset[int]:
        """The declarations with a part that was left out when they were read, or read in another way."""
        if not any(d.code == "syntax" for d in self.mistakes):
            return frozenset()
        spans = [*left_out(self.module.source), *(d.at.span for d in self.mistakes if d.at is not None)]
        return frozenset(
            i
            for i, d in enumerate(self.declarations)
            if ";" in self._texts[i] or any(s.start <= d.at.end and d.at.start <= s.end for s in spans)
        )

    @cached_property
    def _uses(self) -> list[set[int]]:
        """The declarations that each one names."""
        names: dict[str, set[int]] = {}
        for i, declaration in enumerate(self.declarations):
            for name in _declared(declaration):
                names.setdefault(name, set()).add(i)
        return [{i for word in words(text) & names.keys() for i in names[word]} for text in self._texts]

    @cached_property
    def _components(self) -> list[frozenset[int]]:
        """For each declaration, those that are connected with it through names."""
        near: list[set[int]] = [set(used) for used in self._uses]
        for i, used in enumerate(self._uses):
            for j in used:
                near[j].add(i)
        found: dict[int, frozenset[int]] = {}
        for i in range(len(near)):
            if i not in found:
                together = _reached(i, near)
                found |= dict.fromkeys(together, together)
        return [found[i] for i in range(len(near))]


def _reached(start: int, near: Sequence[set[int]]) -> frozenset[int]:
    """A declaration and all that can be reached from it."""
    found, waiting = {start}, [start]
    while waiting:
        new = near[waiting.pop()] - found
        found |= new
        waiting += new
    return frozenset(found)


def _declared(declaration: ast.Declaration) -> Iterator[str]:
    """The names that a declaration gives to the file."""
    if isinstance(declaration, ast.Import):
        yield from ((item.alias or item.name).id for item in declaration.names)
    elif not isinstance(declaration, ast.Expect):
        yield declaration.name.id


class Programs(Mapping[str, Program | None]):
    """Elaborated nets by name; None for one with a mistake. Each is elaborated when it is first asked for."""

    def __init__(self, module: Module, elaborator: Elaborator, nets: Iterable[str], unchanged: Unchanged) -> None:
        self.module, self.elaborator, self.unchanged = module, elaborator, unchanged
        self.nets = dict.fromkeys(nets)
        self.made: dict[str, Program | None] = {}

    def check(self) -> None:
        """Elaborate all nets but those that are known to be right."""
        for name in self.nets:
            if not self.unchanged.skips("net", self.module.names[name]):  # type: ignore[arg-type]
                self[name]

    def meet(self, declaration: ast.Node) -> None:
        """Elaborate the nets that may use a declaration."""
        waiting = self.nets.keys() - self.made.keys()
        for name in self.unchanged.using(declaration) if waiting else ():
            if name in waiting:
                self[name]

    def __getitem__(self, name: str) -> Program | None:
        if name not in self.made:
            if name not in self.nets:
                raise KeyError(name)
            self.made[name] = self.elaborator.net(self.module, name, {}, {})
        return self.made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.nets)

    def __len__(self) -> int:
        return len(self.nets)
