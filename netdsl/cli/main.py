"""`netdsl COMMAND ...`: finds the command, parses its arguments, and turns every way to fail into a message and a code.

Only the command that is asked for is imported, so that `netdsl check` costs little more than Python itself.
"""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from contextlib import nullcontext, suppress
from importlib import import_module
from types import ModuleType
from typing import TextIO

from netdsl.budget import deep
from netdsl.cli.failure import USAGE, WRONG, Failure, Refused, exit_code
from netdsl.diagnostics.diagnostic import Diagnostic, Fault
from netdsl.diagnostics.memory import is_out_of_memory, out_of_memory
from netdsl.diagnostics.packages import missing
from netdsl.garbage import uncollected
from netdsl.render.terminal import guarded

COMMANDS = {
    "check": "find mistakes in specs, without running them",
    "explain": "explain an error code, with a wrong and a right spec",
    "summary": "shapes, parameters, MACs, memory and receptive field of a net",
    "view": "draw a net: an SVG image, or a page to explore",
    "diff": "compare two nets or recipes, or a spec with a git revision",
    "compile": "write a net as PyTorch source and as an ONNX file",
    "train": "train a net as its recipe says",
    "profile": "show where the time of a training step goes, by phase and by layer",
    "probe": "measure signals, dead units, receptive field, spectrum, curvature and learning rates of a net",
    "experiment": "train every cell of an experiment, and show what it says as tables and figures",
    "recipe": "show what a recipe will do before it is done",
    "eval": "measure a trained net on a data set",
    "predict": "run a trained net on images",
    "runs": "list runs with their results and settings",
    "compare": "compare runs: results, settings and curves",
    "generate": "continue a text with a trained language model",
    "verify": "compare the outputs of onnxruntime and PyTorch",
    "push": "write a trained net as a folder for the Hugging Face Hub, and upload it",
    "lift": "write an ONNX model as a spec, with its weights",
    "weights": "load weights of torchvision, timm or Hugging Face into a net",
    "zoo": "list the installed specs and their nets",
    "fmt": "format specs",
    "lsp": "run the language server for editors",
    "ops": "show the reference of all layers and functions",
}
"""The commands, each a module of this package with `configure(parser)` and `run(args) -> exit code`."""

SHORT = ("check", "explain", "summary", "view", "diff", "fmt", "ops", "runs", "zoo")
"""Commands that end before collecting garbage could pay."""

OWN = "netdsl"
"""Where warnings of netdsl's own say that they come from, in place of a file."""

MAY_BE_EMPTY = ("--prompt",)

INTERNAL, INTERRUPTED, BROKEN_PIPE = 70, 130, 141


def main(argv: list[str] | None = None) -> int:
    """Run a command; returns its exit code: 0 fine, 1 the spec or a check is wrong, 2 usage or input and output."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    sys.stdout, sys.stderr = guarded(sys.stdout), guarded(sys.stderr)
    try:
        code = _run(sys.argv[1:] if argv is None else argv)
        sys.stdout.flush()
        return code
    except SystemExit as done:
        return done.code if isinstance(done.code, int) else USAGE
    except KeyboardInterrupt:
        return _say("interrupted", INTERRUPTED)
    except BrokenPipeError:
        _abandon_output()
        return BROKEN_PIPE
    except Exception as error:
        return _ended(_failed(error))


def _ended(code: int) -> int:
    """The exit code of a command that failed. One of several processes ends at once: taking the interpreter down waits
    for exchanges with the others, who may be waiting for this process."""
    if os.environ.get("WORLD_SIZE", "1") == "1":
        return code
    from netdsl.training.distributed.launch import leave

    return leave(code)


def _failed(error: Exception) -> int:
    """Say how a command failed; gives its exit code."""
    if isinstance(error, Refused):
        return _say_all(error.diagnostics, error.code)
    if isinstance(error, Fault):
        return _say_all((error.diagnostic,))
    if isinstance(error, Failure):
        return _say(_message(error.message, error.hint), error.code)
    if isinstance(error, ModuleNotFoundError) and (lacking := missing(error)) is not None:
        return _say_all((lacking,))
    if isinstance(error, OSError):
        _abandon_output()
        return _say(_message(os_message(error)), USAGE)
    return _unforeseen(error)


def _say_all(found: tuple[Diagnostic, ...], code: int | None = None) -> int:
    from netdsl.render.diagnostics import render_all

    return _say(render_all(found, sys.stderr), exit_code(found) if code is None else code)


def _run(argv: list[str]) -> int:
    name = argv[0] if argv else ""
    if name == "help" and len(argv) == 2:
        return _run([argv[1], "--help"])
    if name in ("-h", "--help", "help", ""):
        print(_overview())
        return 0 if name else USAGE
    if name in ("-V", "--version", "version"):
        from netdsl.version import __version__

        print(f"netdsl {__version__}")
        return 0
    if name not in COMMANDS:
        raise _unknown(name)
    with deep(), uncollected() if name in SHORT else nullcontext():
        command = import_module(f"netdsl.cli.{name}")
        _check_values(argv[1:])
        args = _parser(name, command).parse_args(argv[1:])
        with warnings.catch_warnings():
            warnings.showwarning = _shown
            _load_plugins(args.plugins)
            code = command.run(args)
    assert isinstance(code, int)
    return code


def _check_values(argv: list[str]) -> None:
    """Refuse empty values, which commands take for none given, and `--option=--`, of which argparse makes a list."""
    for before, text in zip(["", *argv], argv, strict=False):
        option, equals, value = text.partition("=")
        if not text and before not in MAY_BE_EMPTY:
            raise Failure("an argument is empty" if not before.startswith("-") else f"`{before}` has an empty value")
        if text.startswith("-") and equals and value in ("", "--") and option not in MAY_BE_EMPTY:
            raise Failure(f"`{text}`: `{option}` has no value")


def _shown(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Print a warning to the error output: one of netdsl's own as a line, those of packages as Python does."""
    foreign = warnings.formatwarning(message, category, filename, lineno, line)
    print(f"warning: {message}\n" if filename == OWN else foreign, end="", file=file or sys.stderr)


def _parser(name: str, command: ModuleType) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"netdsl {name}",
        description=command.__doc__,
        epilog=getattr(command, "EXAMPLES", None),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    command.configure(parser)
    parser.add_argument(
        "--plugin",
        dest="plugins",
        action="append",
        default=[],
        metavar="NAME",
        help="load a plug-in: that of an installed package, or a module; may be given several times",
    )
    return parser


def _load_plugins(asked: list[str]) -> None:
    """Load the plug-ins of the project and those that the command line names; nothing else ever loads one."""
    from netdsl.plugins.project import project_plugins

    named, folder = project_plugins()
    if named or asked:
        from netdsl.plugins.loading import load_all

        load_all(named, folder)
        load_all(asked)


def _overview() -> str:
    width = max(map(len, COMMANDS))
    lines = [
        "netdsl: a language and compiler for neural networks",
        "",
        "usage: netdsl COMMAND ...",
        "",
        *(f"  {name:{width}}  {what}" for name, what in COMMANDS.items()),
        "",
        "`netdsl COMMAND --help` shows the options and examples of a command.",
        "Exit codes: 0 success; 1 a mistake in the spec or a failed check; 2 wrong usage, or a file that cannot be",
        "read or written.",
    ]
    return "\n".join(lines)


def _unknown(name: str) -> Failure:
    from netdsl.diagnostics.diagnostic import did_you_mean

    what = "option" if name.startswith("-") else "command"
    return Failure(f"there is no {what} `{name}`", did_you_mean(name, COMMANDS) or "`netdsl --help` lists the commands")


def _message(text: str, hint: str | None = None) -> str:
    return f"error: {text}" + (f"\nhint: {hint}" if hint else "")


def os_message(error: OSError) -> str:
    """The message of the system's error, in one line, with the file's name."""
    reason = error.strerror or str(error)
    return f"{error.filename}: {reason}" if error.filename else reason


def _say(text: str, code: int) -> int:
    """Print on the error stream, after all that was printed before; gives the code."""
    try:
        sys.stdout.flush()
    except OSError:
        _abandon_output()
    with suppress(OSError):
        print(text, file=sys.stderr, flush=True)
    return code


def _abandon_output() -> None:
    """Nobody reads the output any more, or it cannot be written: nothing is left to flush at exit."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _unforeseen(error: Exception) -> int:
    """Report an error that no part of the compiler has foreseen: too little memory, or a bug."""
    if is_out_of_memory(error):
        return _say_all((out_of_memory(error),), WRONG)
    if os.environ.get("NETDSL_DEBUG") == "1":
        raise error
    what = f"{type(error).__name__}: {error}".splitlines()[0]
    hint = "this is a bug in netdsl: please report it with the spec; NETDSL_DEBUG=1 shows where it happened"
    return _say(f"internal error: {what}\nhint: {hint}", INTERNAL)


def entry() -> None:
    """`python -m netdsl`."""
    sys.exit(main())
