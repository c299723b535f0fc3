"""Names that a person would choose: of values, blocks and arguments."""

from __future__ import annotations

from netdsl.lift.model import Call

KINDS = {"chunk": "part", "split": "part", "lstm": "y", "gru": "y", "rnn": "y", "topk": "top", "param": "learnt"}
STATES = ("y", "h", "c")


def value_names(call: Call, used: list[bool], taken: set[str]) -> list[str]:
    """Names of a call's results, that no value has yet; `_` for one that nothing reads."""
    several = len(call.outputs) > 1
    found: list[str] = []
    for index, is_used in enumerate(used):
        if not is_used:
            found.append("_")
            continue
        stem = STATES[index] if several and call.op.unpacked else KINDS.get(call.kind, "x")
        name, number = stem, 1
        while name in taken or name in found or (several and name == "part"):
            name, number = f"{stem}{number}", number + 1
        found.append(name)
    return found
