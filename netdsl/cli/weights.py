"""Load weights of another project (torchvision, timm, Hugging Face) into a net, and write them under the net's keys.

Tensors with equal keys are matched. Otherwise the prefixes of the file are aligned with the order in which the net
uses its layers, by shapes, indices and names. Ambiguous tensors are refused, not guessed: `--stub` writes a mapping
to be filled in.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from netdsl.cli.failure import WRONG, Failure, unreadable
from netdsl.cli.files import check_apart, check_ending, write
from netdsl.cli.foreign import add_rules, fresh, read_foreign, repository_of, rules_of
from netdsl.cli.numbers import seed
from netdsl.cli.target import add_target, open_net
from netdsl.diagnostics.diagnostic import UserError
from netdsl.render.numbers import plural
from netdsl.render.output import print_json

if TYPE_CHECKING:
    from netdsl.pipeline import Net
    from netdsl.weights.load import Loaded
    from netdsl.weights.match import Match, Matching
    from netdsl.weights.read import Foreign
    from netdsl.weights.repository import Repository

EXAMPLES = """\
examples:
  netdsl weights resnet:ResNet50 resnet50-11ad3fa6.pth -o resnet50.safetensors
  netdsl weights resnet:ResNet50 --pretrained timm/resnet50.a1_in1k -o resnet50.safetensors
  netdsl weights vit:ViT_B16 model.safetensors --list    every tensor, its source, and why it was matched
  netdsl weights resnet:ResNet50 resnet50.pth -p classes=10 --partial -o start.safetensors
  netdsl weights mine.net other.pth --stub map.toml          the open tensors, to be filled in; then `--map map.toml`
  netdsl weights resnet:ResNet50 resnet50.pth --reverse trained.safetensors -o back.safetensors

exit codes: 0 every tensor of the net was found, 1 some are missing or ambiguous, 2 a file cannot be read
"""

TOLERANCE = 1e-3
"""Outputs may differ by this share of the largest: two libraries add in another order."""


def configure(parser: argparse.ArgumentParser) -> None:
    add_target(parser)
    file = parser.add_argument(
        "file",
        metavar="FILE",
        help="weights: .safetensors (also in shards: its .json), .pth, .pt, .bin, .ckpt, .npz, .onnx",
    )

    class Instead(argparse.Action):
        """With it, FILE may be missing. (An optional FILE would have to stand beside the spec.)"""

        def __call__(self, parser: Any, namespace: argparse.Namespace, values: Any, option: str | None = None) -> None:
            setattr(namespace, self.dest, values)
            file.required = False

    hub = "a repository of the Hugging Face Hub in place of FILE, or a folder with the same files"
    parser.add_argument("--pretrained", metavar="NAME", action=Instead, help=hub)
    parser.add_argument("--revision", metavar="REV", help="a commit or tag of it (main)")
    parser.add_argument("-o", "--output", metavar="FILE", help="the .safetensors file to write")
    add_rules(parser)
    parser.add_argument("--stub", metavar="FILE", help="write a mapping with the matched tensors and the open ones")
    parser.add_argument(
        "--check",
        nargs=2,
        metavar=("INPUT", "OUTPUT"),
        help="two .npy files: an input (.npz: several, by their names), and the output expected for it",
    )
    parser.add_argument("--reverse", metavar="OURS", help="write OURS, weights of this net, under the keys of FILE")
    parser.add_argument("--keep-dtype", action="store_true", help="keep fp16, bf16 and fp64 (default: convert to fp32)")
    parser.add_argument(
        "--seed", type=seed, default=0, metavar="N", help="the seed for tensors that are not in the file (0)"
    )
    parser.add_argument("--list", action="store_true", help="list every tensor that was matched, and why")
    parser.add_argument("--json", action="store_true", help="print the matches as JSON")


def run(args: argparse.Namespace) -> int:
    check_ending(args.output, ".safetensors")
    check_ending(args.stub, ".toml")
    net = open_net(args)
    repository = _repository(args)
    check_apart(args.file, args.output, args.stub)
    foreign = read_foreign(args.file, args.inside)
    found = _matched(net, foreign, args)
    if args.json:
        print_json(_object(found, repository))
    else:
        _print(found, args.list)
    if args.stub:
        from netdsl.weights.mapping import stub

        write(args.stub, stub(found))
        print(f"{args.stub}: fill in what is open, then `--map {args.stub}`")
    if args.reverse:
        return _reversed(net, foreign, found, args)
    if not found.complete and not (args.partial and not found.open):
        return _refused(foreign, found, args)
    if args.output or args.check:
        loaded = _filled(net, foreign, found, args)
        if args.check:
            _check(net, loaded, args.check)
        if args.output:
            _write(args.output, loaded.state, repository.notes if repository else None)
    return 0


def _repository(args: argparse.Namespace) -> Repository | None:
    """The repository that is named, which then stands for the file; what it is, is said. Raises Failure."""
    found = repository_of(args, args.file)
    if found is not None:
        args.file = str(found.folder)
        for line in () if args.json else found.about:
            print(f"  {line}")
    return found


def _matched(net: Net, foreign: Foreign, args: argparse.Namespace) -> Matching:
    from netdsl.weights.load import matched

    return matched(net.checked, foreign, rules_of(args, net))


def _refused(foreign: Foreign, found: Matching, args: argparse.Namespace) -> int:
    from netdsl.weights.load import incomplete

    if args.stub and not args.output:
        return WRONG
    raise incomplete(foreign.path, found)


def _filled(net: Net, foreign: Foreign, found: Matching, args: argparse.Namespace) -> Loaded:
    from netdsl.weights.load import fill

    loaded = fill(net.checked, foreign, found, lambda: fresh(net, args.seed), rules_of(args, net))
    for note in loaded.notes if not args.json else ():
        print(f"  {note}")
    return loaded


def _write(path: str, state: Any, notes: dict[str, str] | None = None) -> None:
    from safetensors.numpy import save

    size = write(path, bytes(save(dict(state), notes)))
    print(f"{path}: {plural(len(state), 'tensor')}, {size:,} bytes")


def _check(net: Net, loaded: Loaded, paths: list[str]) -> None:
    """Compare the net's output with a given one. Raises Failure where they differ."""
    import numpy as np

    from netdsl.verify.live import live
    from netdsl.weights.check import difference

    x, expected = (_array(p) for p in paths)
    module = live(net, 0, dict(loaded.state))
    worst, largest = difference(module, net.checked.main.inputs, x, expected)
    if not np.isfinite(worst) or worst > TOLERANCE * largest:
        hint = "shapes don't prove constants: compare the eps of norms, where strides stand, paddings, the activation"
        message = f"the outputs differ by {worst:.3g}, the largest is {largest:.3g}"
        raise UserError("other-output", message, hint)
    print(f"the outputs agree: largest difference {worst:.1e} of {largest:.3g}")


def _array(path: str) -> Any:
    import numpy as np

    try:
        return np.load(path, allow_pickle=False)
    except OSError as error:
        raise unreadable(path, error) from None
    except (ValueError, EOFError):
        raise UserError("unreadable-weights", f"{path} is not an .npy or .npz file of numbers") from None


def _reversed(net: Net, foreign: Foreign, found: Matching, args: argparse.Namespace) -> int:
    """Write weights of the net under the keys of the foreign file."""
    from netdsl.weights.convert import reverse

    if not args.output:
        raise Failure("`--reverse` needs a file to write to", "`-o back.safetensors`")
    if found.open:
        return _refused(foreign, found, args)
    state, kept = reverse(found.matches, read_foreign(args.reverse).tensors, foreign.tensors)
    if kept:
        print(f"  not of this net, as in {args.file}: {', '.join(kept[:6])}" + (" ..." if len(kept) > 6 else ""))
    _write(args.output, state)
    return 0


def _print(found: Matching, everything: bool) -> None:
    for m in found.matches if everything else filter(_changed, found.matches):
        print(f"  {', '.join(m.own.keys)}  <-  {', '.join(m.foreign.keys)}{_how(m)}" + f"  ({m.why})" * everything)
    _print_rest(found)
    if found.complete and any(m.why != "equal keys" for m in found.matches):
        print("  shapes don't prove constants (the eps of norms, strides, paddings): --check compares an output")
    tensors = sum(len(m.own.keys) for m in found.matches)
    is_open = sum(len(o.own) for o in found.open)
    counts = f"{tensors} matched, {len(found.missing)} missing, {len(found.left_over)} left over"
    print(counts + (f", {is_open} open" if is_open else ""))


def _print_rest(found: Matching) -> None:
    """Print what was not matched, and why."""
    for title, items in (("missing", found.missing), ("left over", found.left_over)):
        for slot in items:
            print(f"  {title}: {slot.key} {[*slot.shape]}")
    for item in found.open:
        print(f"  open: {', '.join(item.own)}: any of {', '.join(item.candidates)}")
    for reason in found.reasons:
        print(f"  {reason}")


def _changed(m: Match) -> bool:
    return m.own.how != m.foreign.how or m.change is not None


def _how(m: Match) -> str:
    """Describe how the file's tensors are changed; empty where they are taken as they are."""
    said: list[str] = [] if m.foreign.how == "as it is" else [m.foreign.how]
    said += ["split"] if not m.own.key else []
    said += [f"other {m.change}"] if m.change else []
    shapes = f"  {[*m.foreign.shape]} as {[*m.own.shape]}" if m.foreign.shape != m.own.shape else ""
    return shapes + (f"  {', '.join(said)}" if said else "")


def _object(found: Matching, repository: Repository | None) -> dict[str, Any]:
    about = {} if repository is None else {"repository": {**repository.notes, "preprocessing": repository.images.said}}
    return about | {
        "matched": [
            {"keys": [*m.own.keys], "from": [*m.foreign.keys], "how": m.foreign.how, "why": m.why, "change": m.change}
            for m in found.matches
        ],
        "missing": [s.key for s in found.missing],
        "left_over": [s.key for s in found.left_over],
        "open": [{"keys": [*o.own], "candidates": [*o.candidates]} for o in found.open],
        "reasons": [*found.reasons],
    }
