"""Placement of comments by the formatter: beside or above the item that it was written at.

Items are what stands on lines of its own when it is long: declarations, statements, fields, arguments, the items of
lists, the stages of pipelines. The node whose items they are is their host.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from typing import Any

from netdsl.syntax import ast

_ITEMS: dict[type, str] = {
    ast.File: "declarations", ast.Import: "names", ast.Block: "parameters", ast.Expect: "conditions",
    ast.Recipe: "entries", ast.Group: "fields", ast.Experiment: "entries", ast.Measure: "paths",
    ast.Plot: "arguments", ast.Body: "statements", ast.Residual: "arguments",
    ast.Call: "arguments", ast.ListExpr: "items", ast.TupleExpr: "items", ast.Pipeline: "stages", ast.Choice: "options",
}  # fmt: skip


class Placement:
    """The comments of a file by the node that they go with.

    `above`: on lines of their own before an item. `beside`: at the end of an item's line. `opening`: at the end of the
    line that opens a host. `below`: after the last item of a host. `apart`: those of `above` that a blank line follows,
    because they were written inside the declaration before.
    """

    def __init__(self, file: ast.File) -> None:
        self.above: dict[int, list[ast.Comment]] = defaultdict(list)
        self.beside: dict[int, ast.Comment] = {}
        self.opening: dict[int, ast.Comment] = {}
        self.below: dict[int, list[ast.Comment]] = defaultdict(list)
        self.apart: dict[int, list[ast.Comment]] = defaultdict(list)
        self._children: dict[int, list[ast.Node]] = {}
        inside = [comment for comment in file.comments if not self._place(file, comment)]
        for comment in inside:
            self._place(file, comment, inside=True)

    def hosts(self, node: Any) -> bool:
        """Whether a comment goes between the items of a node, so that each of them needs a line of its own."""
        items = getattr(node, _ITEMS[type(node)])
        found = (id(node) in store for store in (self.opening, self.below))
        return any(found) or any(id(i) in store for i in items for store in (self.above, self.beside, self.apart))

    def _place(self, file: ast.File, comment: ast.Comment, inside: bool = False) -> bool:
        """Place a comment with the innermost host that has a place for it; False where it lies inside an item."""
        path = self._path(file, comment.at.start)
        for depth in range(len(path) - 1, -1, -1):
            host = path[depth]
            if isinstance(host, ast.If) and depth + 1 == len(path) and self._before_else(host, comment):
                return True
            if type(host) in _ITEMS:
                within = path[depth + 1] if depth + 1 < len(path) else None
                items = list(getattr(host, _ITEMS[type(host)]))
                if within is None or not any(item is within for item in items):
                    if self._between(host, items, comment):
                        return True
                elif not isinstance(host, ast.Pipeline | ast.Choice):
                    return inside and self._inside(host, items, within, comment)
        return False

    def _between(self, host: Any, items: list[Any], comment: ast.Comment) -> bool:
        """A comment among the items of a host, none of which it lies inside."""
        offset = comment.at.start
        before = bisect_right(items, offset, key=lambda item: item.at.start)
        if isinstance(host, ast.Pipeline | ast.Choice) and not 0 < before < len(items):
            return False
        if isinstance(host, ast.Block) and (before == len(items) or not items):
            return self._header(host, comment)
        free = before and id(items[before - 1]) not in self.beside
        if not comment.own_line and free:
            self.beside[id(items[before - 1])] = comment
        elif (
            not comment.own_line
            and not before
            and not isinstance(host, ast.File | ast.Block)
            and id(host) not in self.opening
        ):
            self.opening[id(host)] = comment
        elif before < len(items):
            self.above[id(items[before])].append(comment)
        else:
            self.below[id(host)].append(comment)
        return True

    def _header(self, block: ast.Block, comment: ast.Comment) -> bool:
        """A comment at the end of a header whose expression follows on the next line."""
        if comment.own_line or isinstance(block.body, ast.Body) or id(block) in self.opening:
            return False
        if comment.at.start > block.body.at.start:
            return False
        self.opening[id(block)] = comment
        return True

    def _before_else(self, node: ast.If, comment: ast.Comment) -> bool:
        """A comment between the branches of an `if` goes into the second one."""
        branch = node.otherwise
        while isinstance(branch, ast.If):
            branch = branch.body
        if branch is None or not node.body.at.end <= comment.at.start < branch.at.start:
            return False
        if branch.statements:
            self.above[id(branch.statements[0])].append(comment)
        else:
            self.below[id(branch)].append(comment)
        return True

    def _inside(self, host: Any, items: list[Any], item: Any, comment: ast.Comment) -> bool:
        """A comment inside an item, in no host of its own: beside it where nothing else is, or else above it."""
        place = next(i for i, other in enumerate(items) if other is item)
        if id(item) not in self.beside:
            self.beside[id(item)] = comment
        elif not isinstance(host, ast.File):
            self.above[id(item)].insert(0, comment)
        elif place + 1 < len(items):
            self.apart[id(items[place + 1])].append(comment)
        else:
            self.below[id(host)].insert(0, comment)
        return True

    def _path(self, file: ast.File, offset: int) -> list[Any]:
        """The nodes around an offset, outermost first."""
        path: list[Any] = [file]
        while True:
            children = self._sorted_children(path[-1])
            place = bisect_right(children, offset, key=lambda node: node.at.start) - 1
            if place < 0 or offset >= children[place].at.end:
                return path
            path.append(children[place])

    def _sorted_children(self, node: ast.Node) -> list[ast.Node]:
        if id(node) not in self._children:
            children = [child for child in ast.children(node) if not isinstance(child, ast.Comment)]
            self._children[id(node)] = sorted(children, key=lambda child: child.at.start)
        return self._children[id(node)]
