"""CPU time of reading and elaborating nets, once the package is imported. Bars in brackets.

python benchmarks/elaboration.py
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from netdsl.loader import load_source, read_import
from netdsl.pipeline import Spec

SPECS = Path(__file__).parent.parent / "specs"


def best(work: Callable[[], object], rounds: int = 5) -> float:
    """Milliseconds of CPU, the least of some rounds."""
    taken = []
    for _ in range(rounds):
        start = time.process_time()
        work()
        taken.append(time.process_time() - start)
    return 1000 * min(taken)


def elaborated(file: str, net: str) -> Callable[[], object]:
    def work() -> None:
        assert Spec(load_source(SPECS / file), read_import).net(net).program is not None

    return work


def main() -> None:
    deep = best(elaborated("resnet.net", "ResNet152"))
    print(f"ResNet-152, text to program: {deep:.1f} ms (60)")
    few, many = (best(elaborated("resnet_cifar.net", f"ResNet{n}")) for n in (110, 1202))
    print(f"ResNet-110 on CIFAR {few:.1f} ms, ResNet-1202 {many:.1f} ms: {many / few:.2f} times (2)")
    slowest = ("", 0.0)
    for path in sorted(SPECS.glob("*.net")):
        for net in Spec(load_source(path), read_import).nets:
            slowest = max(slowest, (net, best(elaborated(path.name, net), 2)), key=lambda pair: pair[1])
    print(f"slowest net: {slowest[0]}, {slowest[1]:.1f} ms (150)")

    def everything() -> None:
        for path in SPECS.glob("*.net"):
            assert not Spec(load_source(path), read_import).diagnostics

    print(f"all files checked in one process: {best(everything, 2) / 1000:.2f} s (1.5)")


if __name__ == "__main__":
    main()
