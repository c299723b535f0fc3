"""Programs and commands, each in a process of its own that is forked from one that has imported torch already.

    with Forks() as forks:
        code, said = forks.run(text, cwd)

The import of torch is most of what a short program costs. A request is a line of JSON, and so is its answer.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from paths import ROOT

LONGEST = 300
"""Seconds after which a program is killed."""


class Forks:
    """A process that waits for programs."""

    def __enter__(self) -> Forks:
        env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": f"{ROOT}{os.pathsep}{Path(__file__).parent}"}
        self.process = subprocess.Popen(
            [sys.executable, __file__], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        return self

    def __exit__(self, *_: object) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(10)

    def run(self, program: str | list[str], cwd: Path, out: Path) -> tuple[int, str]:
        """The exit code of a Python program, or of `netdsl` with some arguments, and what it printed into `out`."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(json.dumps([program, str(cwd), str(out)]), file=self.process.stdin, flush=True)
        return json.loads(self.process.stdout.readline()), out.read_text()


def become(program: str | list[str], cwd: str, out: str) -> int:
    """Do in this process what was asked for."""
    signal.alarm(LONGEST)
    os.chdir(cwd)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    file = os.open(out, os.O_CREAT | os.O_WRONLY)
    os.dup2(file, 1)
    os.dup2(file, 2)
    if isinstance(program, list):
        return main(program)
    exec(compile(program, "<program>", "exec"), {"__name__": "__main__"})
    return 0


def fork(request: Any) -> int:
    child = os.fork()
    if not child:
        code = 1
        try:
            code = become(*request)
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
        except BaseException:
            sys.excepthook(*sys.exc_info())  # type: ignore[arg-type]
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


if __name__ == "__main__":
    import sklearn.datasets  # noqa: F401 - what a run imports

    from netdsl.cli.main import main
    from netdsl.training import entry  # noqa: F401 - what a run imports

    for line in sys.stdin:
        print(fork(json.loads(line)), flush=True)
