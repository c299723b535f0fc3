"""The rules of all families: how a node of ONNX is said in the language."""

from __future__ import annotations

from netdsl.lift.build import Rule
from netdsl.lift.rules.arithmetic import ARITHMETIC
from netdsl.lift.rules.axes import AXES
from netdsl.lift.rules.convolution import CONVOLUTION
from netdsl.lift.rules.elementwise import ELEMENTWISE
from netdsl.lift.rules.features import FEATURES
from netdsl.lift.rules.pooling import POOLING
from netdsl.lift.rules.recurrent import RECURRENT
from netdsl.lift.rules.rows import ROWS
from netdsl.lift.rules.shaping import SHAPING

RULES: dict[str, Rule] = {
    **ARITHMETIC, **AXES, **CONVOLUTION, **ELEMENTWISE, **FEATURES, **POOLING, **RECURRENT, **ROWS, **SHAPING
}  # fmt: skip
"""By the type of the node."""
