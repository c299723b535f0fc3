"""`python -m benchmarks`: every benchmark in turn, briefly. Each is a script of its own with a longer form."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SCRIPTS = (
    ("startup.py", "3"),
    ("predict_startup.py", "5"),
    ("elaboration.py",),
    ("editing.py", "20"),
    ("onnx_export.py",),
    ("growth.py",),
    ("train_overhead.py", "6"),
    ("train_speed.py", "3"),
    ("image_folder.py", "3"),
    ("train_plain.py", "10", "2"),
)

for name, *arguments in SCRIPTS:
    print(f"\n== {name}", flush=True)
    subprocess.run([sys.executable, str(Path(__file__).with_name(name)), *arguments], check=False)
