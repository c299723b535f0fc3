"""The activations that lints refer to."""

from __future__ import annotations

ACTIVATIONS = (
    "relu", "relu6", "leaky_relu", "elu", "selu", "celu", "gelu", "silu", "mish", "hardswish", "hardsigmoid",
    "hardtanh", "sigmoid", "tanh", "softplus", "softmax", "log_softmax",
)  # fmt: skip
IDEMPOTENT = ("relu", "relu6", "hardtanh")
"""Those that change nothing the second time."""
SATURATING = ("sigmoid", "tanh", "hardsigmoid", "hardtanh", "softsign")
"""Those whose gradient vanishes on both sides."""
