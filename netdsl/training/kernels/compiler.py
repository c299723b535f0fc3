"""What torch's compiler needs on this machine."""

from __future__ import annotations

from netdsl.training.errors import DataError


def check_compiler() -> None:
    """Raise DataError where torch finds no C++ compiler, which it needs to compile for a CPU."""
    from torch._inductor.cpp_builder import get_cpp_compiler

    try:
        get_cpp_compiler()
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(
            f"`compile = on` needs a C++ compiler on a CPU, and there is none: {reason}",
            "install g++ (or set CXX), or leave `compile` at `auto`",
        ) from None
