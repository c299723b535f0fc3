"""Writes curve.csv: 200 points of sin 3x + 0.3 sin 11x on [-1, 1]."""

from __future__ import annotations

import math
from pathlib import Path

places = [-1 + 2 * i / 199 for i in range(200)]
lines = ["x,y", *(f"{x:.5f},{math.sin(3 * x) + 0.3 * math.sin(11 * x):.5f}" for x in places)]
(Path(__file__).parent / "curve.csv").write_text("\n".join(lines) + "\n")
