"""The command line: one file per command.

msgspec asks for typing_extensions, where it is installed, and that imports `inspect`: a tenth of what a whole `netdsl
check` costs, for names that Python's own `typing` has. So the command line imports msgspec without it.
"""

import sys

if not {"msgspec", "typing_extensions"} & sys.modules.keys():
    sys.modules["typing_extensions"] = None  # type: ignore[assignment]
    import msgspec  # noqa: F401

    del sys.modules["typing_extensions"]
