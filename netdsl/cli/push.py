"""Write a trained net as a folder that the Hugging Face Hub takes, and upload it where a repository is named.

The folder holds the weights, the spec, the ONNX file, config.json (how images are prepared, names of classes) and
README.md, a card with the licence and what was measured. The machine of the run is not in it, and absolute paths in the
spec and the ONNX file are cut down to their last part, which is said. Comments and relative paths stay. A recipe can
begin with it: `init = pretrained("FOLDER")`.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

from netdsl.cli.failure import Failure
from netdsl.cli.files import folder

EXAMPLES = """\
examples:
  netdsl push runs/Pets-1 pets --license apache-2.0     the folder `pets`, nothing is uploaded
  netdsl push runs/Pets-1 --repo name/pets --private    uploads it (needs huggingface_hub, and `hf auth login`)
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="a run directory")
    parser.add_argument("folder", metavar="FOLDER", nargs="?", help="the folder to write, new or empty")
    parser.add_argument(
        "--license", metavar="ID", help="the licence, as on the Hub (default: that of its first weights)"
    )
    parser.add_argument("--repo", metavar="USER/NAME", help="upload it to this repository of the Hub")
    parser.add_argument("--private", action="store_true", help="with --repo: make it a private one")


def run(args: argparse.Namespace) -> int:
    if args.folder is None and args.repo is None:
        raise Failure("where to?", "name a folder, or `--repo user/name`")
    if args.private and args.repo is None:
        raise Failure("`--private` is for `--repo`")
    _check_names(args)
    from netdsl.publish.shared import shared

    net = shared(Path(args.run), args.license)
    for warning in net.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    with tempfile.TemporaryDirectory() as temporary:
        target = args.folder or temporary
        with folder(target) as inside:
            from netdsl.publish.folder import fill, upload

            names = fill(Path(inside), net)
        print(f"{args.folder or args.repo}: {', '.join(names)}")
        if args.repo is not None:
            print(upload(Path(target), args.repo, args.private))
    return 0


def _check_names(args: argparse.Namespace) -> None:
    """Raise Failure for a folder with anything in it, and for what is no name of a repository."""
    import re

    from netdsl.weights.hub import NAME

    if args.folder is not None and Path(args.folder).is_dir() and any(Path(args.folder).iterdir()):
        raise Failure(f"{args.folder} is not empty", "name a new folder")
    if args.folder is not None and Path(os.path.realpath(args.folder)).is_relative_to(os.path.realpath(args.run)):
        raise Failure(f"{args.folder} lies in the run", "name a folder outside of it")
    if args.repo is not None and ("/" not in args.repo or not NAME.fullmatch(args.repo)):
        raise Failure(f"`{args.repo}` is not the name of a repository", "`--repo user/name`")
    if args.license is not None and not re.fullmatch(r"[\w.+-]+", args.license):
        raise Failure(f"`{args.license}` is not the identifier of a licence", "for example apache-2.0, mit, cc-by-4.0")
