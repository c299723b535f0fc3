"""The syntax tree: one class per grammar rule and per method of the formatter. Nodes are plain data with a span."""

from __future__ import annotations

from collections.abc import Iterator

from netdsl.source import Span
from netdsl.syntax.node import Node, children, walk


def names(node: Node) -> Iterator[str]:
    """Every name written inside a node."""
    return (inner.id for inner in walk(node) if isinstance(inner, Name))


# Expressions: Python's, with pipelines, bodies and residual links.


class Number(Node, frozen=True):
    """`3`, `25_557_032`, `1e-6`, `0x10`. `text`: as it is written, for the formatter."""

    value: int | float
    text: str


class String(Node, frozen=True):
    value: str


class Template(Node, frozen=True):
    """`f"{n} channels"`: Strings, and the expressions between them."""

    parts: tuple[Expr, ...]


class Literal(Node, frozen=True):
    """`true`, `false` or `none` (Python's capitals are accepted)."""

    value: bool | None


class Name(Node, frozen=True):
    id: str


class ListExpr(Node, frozen=True):
    items: tuple[Item, ...]


class TupleExpr(Node, frozen=True):
    items: tuple[Item, ...]


class Splat(Node, frozen=True):
    """`*value` in a list, a tuple or a call."""

    value: Expr


class Targets(Node, frozen=True):
    """`(a, b)` among the names that a loop or a comprehension binds: `for i, (a, b) in ...`."""

    items: tuple[Target, ...]


class Clause(Node, frozen=True):
    """`for targets in iterable if condition` of a comprehension, with any number of conditions."""

    targets: tuple[Target, ...]
    iterable: Expr
    conditions: tuple[Expr, ...]


class Comprehension(Node, frozen=True):
    """`[item for ... for ...]`: the clauses go from the outermost loop to the innermost."""

    item: Expr
    clauses: tuple[Clause, ...]


class Argument(Node, frozen=True):
    """An argument of a call. `name` is None for one by position."""

    name: Name | None
    value: Item


class Labelled(Node, frozen=True):
    """`name: value` among the arguments of an op: a branch that is a submodule of that name."""

    name: Name
    value: Expr


class Call(Node, frozen=True):
    function: Expr
    arguments: tuple[Argument, ...]


class Index(Node, frozen=True):
    value: Expr
    index: Expr | Slice


class Weight(Node, frozen=True):
    """`table.weight`: the weight of a layer that `share` made."""

    name: Name


class Slice(Node, frozen=True):
    start: Expr | None
    stop: Expr | None
    step: Expr | None


class Unary(Node, frozen=True):
    """`op` is `-`, `+` or `not`."""

    op: str
    operand: Expr


class Binary(Node, frozen=True):
    """`first ops[0] rest[0] ...`, from the left; ops are `+ - * / // % @ and or` of one precedence, or one `**`."""

    first: Expr
    ops: tuple[str, ...]
    rest: tuple[Expr, ...]


class Compare(Node, frozen=True):
    """`first ops[0] rest[0] ops[1] rest[1] ...`, chained as in Python; ops are `== != < <= > >= in not in`."""

    first: Expr
    ops: tuple[str, ...]
    rest: tuple[Expr, ...]


class Conditional(Node, frozen=True):
    then: Expr
    condition: Expr
    otherwise: Expr


class Quantity(Node, frozen=True):
    """A number with a unit: `20 epochs`, `500 steps`."""

    number: Number
    unit: str


class Choice(Node, frozen=True):
    """`a | b`: one of several."""

    options: tuple[Expr, ...]


class Pipeline(Node, frozen=True):
    """`a -> b -> c`, two stages or more."""

    stages: tuple[Expr, ...]


class Residual(Node, frozen=True):
    arguments: tuple[Argument, ...]
    body: Body


class Body(Node, frozen=True):
    """`{ statements }`: as an expression, the arrow that runs them."""

    statements: tuple[Statement, ...]


# Statements.


class ExprStatement(Node, frozen=True):
    """An arrow that the current value flows through. `name` is that of the value it gives: `conv(8, 3) as low`."""

    value: Expr
    name: Name | None = None


class Assign(Node, frozen=True):
    targets: tuple[Name, ...]
    value: Expr


class Share(Node, frozen=True):
    """`share name = value`: one set of weights for every use of `name`."""

    name: Name
    value: Expr


class Label(Node, frozen=True):
    """`name: statement`: a submodule of that name. A braced body is an ExprStatement of a Body."""

    name: Name
    statement: Statement


class For(Node, frozen=True):
    targets: tuple[Target, ...]
    iterable: Expr
    body: Body


class Repeat(Node, frozen=True):
    count: Expr
    body: Body


class If(Node, frozen=True):
    """`otherwise` is a Body, an If (`else if`), or None."""

    condition: Expr
    body: Body
    otherwise: Body | If | None


class Require(Node, frozen=True):
    condition: Expr
    message: Expr | None


class Input(Node, frozen=True):
    """`input name [shape] dtype`. `features`: the axis whose size is marked, as in `[N, L, *D]`."""

    name: Name
    shape: tuple[Expr, ...]
    dtype: Name | None
    features: int | None


class Output(Node, frozen=True):
    """`output name = value when training`. Without a value it is the current one."""

    name: Name
    value: Expr | None
    training: bool


# Declarations.


class Parameter(Node, frozen=True):
    name: Name
    default: Expr | None


class Signature(Node, frozen=True):
    """`inputs -> outputs`; `_` is a size that is not checked. Of each the axis whose size is marked, or None."""

    inputs: tuple[Expr, ...]
    outputs: tuple[Expr, ...]
    features: tuple[int | None, int | None]


class ImportName(Node, frozen=True):
    name: Name
    alias: Name | None


class Import(Node, frozen=True):
    """`from module import a, b as c`; `module` may be a dotted path of folders beside the spec."""

    module: str
    module_at: Span
    names: tuple[ImportName, ...]


class Constant(Node, frozen=True):
    name: Name
    value: Expr
    doc: str


class Block(Node, frozen=True):
    """`block` or `net` (by `keyword`) with a body: a braced one, or after `=` an expression."""

    keyword: str
    name: Name
    parameters: tuple[Parameter, ...]
    signature: Signature | None
    body: Body | Expr
    doc: str


class Variant(Node, frozen=True):
    """`net Name = Base(arguments)`."""

    name: Name
    value: Expr
    doc: str


class Expect(Node, frozen=True):
    target: Name
    conditions: tuple[Expr, ...]


class Field(Node, frozen=True):
    """`name = value` in a recipe or a group."""

    name: Name
    value: Expr


class Group(Node, frozen=True):
    """`group selectors { fields }`."""

    selectors: tuple[Name, ...]
    fields: tuple[Field, ...]


class Freeze(Node, frozen=True):
    """`freeze selectors`. A selector is a Name whose id may be dotted."""

    selectors: tuple[Name, ...]


class Recipe(Node, frozen=True):
    name: Name
    target: Name | None
    base: Name | None
    entries: tuple[Field | Group | Freeze, ...]
    doc: str


class Vary(Node, frozen=True):
    """`vary path = values`. `path` is a Name whose id may be dotted: an argument of the net, or a field of a recipe."""

    path: Name
    values: Expr


class Measure(Node, frozen=True):
    """`measure = [paths]`: `name` is the word itself."""

    name: Name
    paths: tuple[Name, ...]


class Comparison(Node, frozen=True):
    """`compare measure against path = value`."""

    measure: Name
    path: Name
    value: Expr


class Plot(Node, frozen=True):
    """`plot kind(arguments) where only`: what an axis or a colour shows, and the names of `only`, may be dotted."""

    kind: Name
    arguments: tuple[Argument, ...]
    only: tuple[Argument, ...]


class Experiment(Node, frozen=True):
    """`experiment Name for Net { entries }`: a Field is `recipe`, `seeds` or `search`."""

    name: Name
    target: Name | None
    entries: tuple[Entry, ...]
    doc: str


class Comment(Node, frozen=True):
    """A comment with its `#`; `own_line` says that nothing stands before it on its line."""

    text: str
    own_line: bool


class File(Node, frozen=True):
    """One spec. `comments` are in order of position, for the formatter. `doc` is the comment that opens the file."""

    declarations: tuple[Declaration, ...]
    comments: tuple[Comment, ...]
    doc: str


Expr = (
    Number | String | Template | Literal | Name | Weight | ListExpr | TupleExpr | Comprehension | Call | Index | Unary
    | Binary | Compare | Conditional | Quantity | Choice | Pipeline | Residual | Body
)  # fmt: skip
Item = Expr | Splat | Labelled
Target = Name | Targets
Statement = ExprStatement | Assign | Share | Label | For | Repeat | If | Require | Input | Output
Entry = Field | Vary | Measure | Comparison | Plot
Named = Constant | Block | Variant | Recipe | Experiment
Declaration = Import | Expect | Named

__all__ = ["Node", "children", "names", "walk"]
