"""The environment that a run's results depend on besides its recipe: versions, device, threads, kernels."""

from __future__ import annotations

import os
import platform
from typing import Any

import torch

from netdsl.training.distributed.process_group import ProcessGroup


def environment(device: torch.device, ranks: ProcessGroup) -> dict[str, Any]:
    """As JSON values, for the run's record. Two runs of one recipe, seed and record give the same bits on a CPU, and on
    a GPU with `deterministic = true`."""
    found: dict[str, Any] = {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "device": str(device.type),
        "processes": ranks.world,
        "threads": torch.get_num_threads(),
        "cpu": torch.backends.cpu.get_cpu_capability(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "float32_matmul": torch.get_float32_matmul_precision(),
    }
    if device.type == "cuda":
        found |= {
            "gpu": torch.cuda.get_device_name(device),
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),  # type: ignore[no-untyped-call]
            "cudnn_benchmark": torch.backends.cudnn.benchmark,
            "cublas_workspace": os.environ.get("CUBLAS_WORKSPACE_CONFIG", ""),
        }
    return found


def differences(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Describe what has changed."""
    return [f"{n}: {before[n]} -> {now[n]}" for n in now if n in before and before[n] != now[n]]
