"""Nets and weights for the tests of the ONNX backend."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import torch
from onnx import ModelProto
from paths import SPECS

from netdsl.api import load
from netdsl.backends.onnx.model import export
from netdsl.backends.torch.module import build
from netdsl.backends.torch.source import emit
from netdsl.ir.flatten import flatten
from netdsl.ir.model import Program
from netdsl.pipeline import Spec
from netdsl.source import Source

torch.set_num_threads(1)


def compiled(text: str, net: str = "Net") -> Program:
    found = Spec(Source(text), lambda name, importer: None).net(net)
    assert found.program is not None, found.diagnostics
    return found.program


def module_of(program: Program, seed: int = 0) -> torch.nn.Module:
    torch.manual_seed(seed)
    return build(emit(program, class_name="Net"), "Net")


@cache
def zoo(file: str, net: str, **arguments: Any) -> Program:
    return load(SPECS / f"{file}.net", net=net, **arguments).program


@cache
def random_state(program: Program) -> dict[str, Any]:
    """Weights of the right shapes, without building a module."""
    random = np.random.default_rng(0)
    state: dict[str, Any] = {}
    for node in flatten(program, training=True):
        for name, p in node.op.params(*node.types).items():
            state[f"{node.layer_path}.{name}".rstrip(".")] = 0.05 * random.normal(size=p.shape).astype("float32")
        for name, b in node.op.buffers(*node.types).items():
            state[f"{node.layer_path}.{name}".rstrip(".")] = (1 + random.random(size=b.shape)).astype(b.dtype)
    return state


def made(program: Program, **options: Any) -> ModelProto:
    return export(program, random_state(program), **options)
