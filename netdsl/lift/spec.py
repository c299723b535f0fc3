"""A lifted net as the text of a spec: imports, blocks, the net."""

from __future__ import annotations

from netdsl.lift.model import Lifted
from netdsl.lift.term import Term
from netdsl.lift.write import Block, Writer, literal


def written(body: Term, net: Lifted, name: str, blocks: tuple[Block, ...] = ()) -> str:
    """The text, not yet formatted."""
    writer = Writer({b.name: b for b in blocks})
    declared = [_block(b, writer) for b in blocks]
    inputs = "\n".join(
        f"  input {v.name} [{', '.join(map(str, v.type.shape))}]{_dtype(v.type.dtype)}" for v in net.inputs
    )
    return "\n\n".join([*declared, f"net {name} {{\n{inputs}\n\n{writer.statements(body)}\n}}\n"])


def _dtype(dtype: str) -> str:
    return "" if dtype == "float32" else f" {dtype}"


def _block(block: Block, writer: Writer) -> str:
    given = ", ".join(p.name if p.default is None else f"{p.name}={literal(p.default)}" for p in block.parameters)
    head = f"block {block.name}({given})" if given else f"block {block.name}"
    line = writer.chain(block.body)
    return f"{head} = {line}" if line else f"{head} {{\n{writer.statements(block.body)}\n}}"
