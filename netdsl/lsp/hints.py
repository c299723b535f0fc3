"""Inlay hints: the shape after every statement, the parameters of every layer and block, what
recipe lines come to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from msgspec import Struct

from netdsl.analysis.count import Memo
from netdsl.elaborate.scope import Scope, Wire
from netdsl.elaborate.trace import Passed
from netdsl.elaborate.values import Tensor
from netdsl.lsp import costs
from netdsl.lsp.analysis import Analysis
from netdsl.lsp.experiments import experiment_hints
from netdsl.lsp.recipes import recipe_hints
from netdsl.render.numbers import grouped
from netdsl.source import Span
from netdsl.syntax import ast

SILENT = (ast.Require, ast.Share, ast.Input)
"""Statements that nothing is shown after: they say it themselves."""

SHOWN = 3
"""How many shapes of one statement are shown; all of them are in the tooltip."""


class Hint(Struct, frozen=True):
    """Text beside the source, at an offset."""

    offset: int
    text: str
    more: str = ""


def hints_of(analysis: Analysis, good: Analysis | None, span: Span, chosen: Mapping[str, int]) -> list[Hint]:
    """The hints in a span. While a text cannot be read to its end, those of `good`, the newest one that could be, stay
    on the lines that are as they were. `chosen`: which use of a block is shown, by its name."""
    if analysis.is_readable:
        found = hints(analysis, span, chosen)
    elif good is not None:
        found = list(kept(good, analysis.source.text, chosen))
    else:
        found = []
    return [h for h in found if span.start <= h.offset <= span.end]


Stages = list[tuple[ast.Node, list[int]]]
"""The layers and blocks of a pipeline, with their parameters in each pass."""

Glance = tuple[Span, list[Hint]]
"""A declaration and its hints."""


def glance_at(analysis: Analysis, offset: int, chosen: Mapping[str, int]) -> Glance | None:
    """The span and the hints of the block or net at an offset, before the whole text is checked; None where only the
    check can say them."""
    declaration = analysis.look(offset)
    if declaration is None or chosen.get(declaration.name.id):
        return None
    return declaration.at, hints(analysis, declaration.at, chosen)


def hints(analysis: Analysis, span: Span, chosen: Mapping[str, int]) -> list[Hint]:
    """The hints of the declarations in a span, in order of place; the outermost of several at one place."""
    found: dict[int, Hint] = {}
    memo: Memo = {}
    for declaration in analysis.checked.module.file.declarations:
        if declaration.at.end < span.start or declaration.at.start > span.end:
            continue
        if isinstance(declaration, ast.Block):
            use = chosen_instance(analysis, declaration, chosen)
            for hint in _block(declaration, use, analysis, memo) if use is not None else ():
                found[hint.offset] = hint
        elif isinstance(declaration, ast.Recipe):
            found |= {h[0]: Hint(*h) for h in recipe_hints(analysis, declaration)}
        elif isinstance(declaration, ast.Experiment):
            found |= {h[0]: Hint(*h) for h in experiment_hints(analysis, declaration)}
    return [found[offset] for offset in sorted(found)]


def chosen_instance(analysis: Analysis, declaration: ast.Block, chosen: Mapping[str, int]) -> Scope | None:
    """The use of a block that is shown: the first, or the one that the lens above the block has chosen."""
    uses = analysis.instances(declaration)
    return uses[chosen.get(declaration.name.id, 0) % len(uses)] if uses else None


def _block(declaration: ast.Block, chosen: Scope, analysis: Analysis, memo: Memo) -> Iterator[Hint]:
    """The hints of one use of a block: inner statements come before those around them."""
    use = analysis.use(chosen)
    for span in sorted(analysis.within(declaration.at), key=lambda s: s.end - s.start):
        passes = [p for p in analysis.passed[span] if analysis.use(p.root) == use]
        passes = [p for p in passes if p.root is passes[0].root]
        if passes and not _is_silent(passes[0].node):
            stages = _counted(passes, memo)
            yield from _stages(stages)
            yield from _statement(passes, stages, memo)


def _is_silent(node: ast.Node) -> bool:
    """Whether nothing is shown after a statement: it says it itself, or the statement that it labels does."""
    labelled = isinstance(node, ast.Label) and not isinstance(node.statement, ast.For | ast.Repeat)
    return labelled or isinstance(node, SILENT)


def _statement(passes: list[Passed], stages: Stages, memo: Memo) -> Iterator[Hint]:
    """The shape after a statement, and its parameters; where they are shown stage by stage, those of the last."""
    shapes = list(dict.fromkeys(filter(None, map(shape, passes))))
    if not shapes:
        return
    text = ", ".join(shapes[:SHOWN]) if len(shapes) <= SHOWN else f"{shapes[0]}, ..., {shapes[-1]}"
    counts = [costs.parameters(p.drafts, memo) for p in passes]
    own = stages[-1][1] if stages else counts
    said = f" {_count(own)}" if any(own) else ""
    more = [f"{s}" for s in shapes] if len(shapes) > 1 else []
    more += [f"{sum(counts):,} parameters" + (f" in {len(passes)} rounds" if len(passes) > 1 else "")] * any(counts)
    yield Hint(passes[0].node.at.end, text + said, "\n".join(more))


def _stages(stages: Stages) -> Iterator[Hint]:
    """The parameters after every layer and block of a pipeline but the last."""
    return (Hint(stage.at.end, _count(counts)) for stage, counts in stages[:-1] if any(counts))


def _counted(passes: list[Passed], memo: Memo) -> Stages:
    """The layers and blocks of a pipeline of several, with their parameters in each pass."""
    stages = _pipeline(passes[0].node)
    if len(stages) < 2:
        return []
    written = [costs.among(p, [stage.at for stage in stages]) for p in passes]
    return [(stage, [costs.parameters(w[i], memo) for w in written]) for i, stage in enumerate(stages)]


def _pipeline(node: ast.Node) -> tuple[ast.Node, ...]:
    """The stages of the pipeline that a statement is."""
    while isinstance(node, ast.Label | ast.ExprStatement | ast.Assign | ast.Output):
        inner = node.statement if isinstance(node, ast.Label) else node.value
        if inner is None:
            return ()
        node = inner
    return node.stages if isinstance(node, ast.Pipeline) else ()


def _count(counts: list[int]) -> str:
    distinct = list(dict.fromkeys(c for c in counts if c))
    return f"({' | '.join(map(grouped, distinct[:SHOWN]))}{' | ...' if len(distinct) > SHOWN else ''})"


def shape(passed: Passed) -> str:
    """The shape that flows out of a statement, or of what it names; nothing where no tensor does."""
    result = passed.result
    if isinstance(passed.node, ast.Output) and passed.drafts:
        result = passed.drafts[-1].outs[0] if len(passed.drafts[-1].outs) == 1 else result
    wires = result if isinstance(result, tuple) else (result,)
    types_ = [w.type if isinstance(w, Wire) else w.wire.type if isinstance(w, Tensor) else None for w in wires]
    return ", ".join(map(str, types_)) if types_ and None not in types_ else ""


def kept(good: Analysis, new: str, chosen: Mapping[str, int]) -> Iterator[Hint]:
    """The hints of an older text on the lines before and after those that have changed."""
    old = good.source.text
    before = common(old, new)
    after = common(old[before:][::-1], new[before:][::-1])
    line_end = old.rfind("\n", 0, before) + 1
    line_start = old.find("\n", len(old) - after)
    for hint in hints(good, Span(0, len(old)), chosen):
        if hint.offset < line_end:
            yield hint
        elif 0 <= line_start < hint.offset:
            yield Hint(hint.offset + len(new) - len(old), hint.text, hint.more)


def common(a: str, b: str) -> int:
    """How many characters two texts begin with together."""
    low, high = 0, min(len(a), len(b))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if a[:middle] == b[:middle] else (low, middle - 1)
    return low
