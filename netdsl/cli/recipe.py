"""Shows what a recipe will do before it is done: steps, learning rate, parameter groups with their members, drop-path
of every link, cost, and which defaults were taken. With `--fields`, the reference of everything a recipe can say.
"""

from __future__ import annotations

import argparse

import msgspec

from netdsl.cli.failure import Failure
from netdsl.cli.target import add_target
from netdsl.render.output import print_json

EXAMPLES = """\
examples:
  netdsl recipe lenet.net
  netdsl recipe convnext.net:ImageNet300 --samples 1281167
  netdsl recipe convnext.net --recipe ImageNet300 --set optimizer.lr=1e-3 --json
  netdsl recipe --fields optimizer
"""


def configure(parser: argparse.ArgumentParser) -> None:
    add_target(parser, nargs="?")
    parser.add_argument(
        "--recipe", metavar="NAME", help="a recipe of the spec, or `SPEC:NAME` of another spec; `none`: defaults"
    )
    parser.add_argument(
        "--set",
        dest="settings",
        metavar="FIELD=VALUE",
        action="append",
        default=[],
        help="change a field of the recipe",
    )
    parser.add_argument("--samples", type=int, metavar="N", help="samples of the training split, where it is not here")
    parser.add_argument("--png", metavar="FILE", help="also draw the learning rate")
    parser.add_argument(
        "--fields", metavar="FIELD", nargs="?", const="", help="what a recipe can say, or one field of it"
    )
    parser.add_argument("--json", action="store_true", help="an object for machines")


def run(args: argparse.Namespace) -> int:
    if args.fields is not None:
        return _reference(args.fields)
    if not args.spec:
        raise Failure("which spec?", "`netdsl recipe SPEC`, or `netdsl recipe --fields`")
    from netdsl.cli.training import open_recipe
    from netdsl.training.errors import DataError
    from netdsl.training.plan import lines, plan

    net, recipe = open_recipe(args)
    try:
        made = plan(net, recipe, args.samples or KNOWN.get(str(recipe.data.__struct_config__.tag)))
    except DataError as error:
        raise Failure(error.message, error.hint, code=1) from None
    if args.png:
        _draw(args.png, made.lr)
    if args.json:
        print_json(msgspec.to_builtins(made))
    else:
        print("\n".join(lines(made)))
    return 0


KNOWN = {"digits": 1438, "cifar10": 50_000, "cifar100": 50_000, "mnist": 60_000, "fashion_mnist": 60_000}
"""Training samples of data sets that are always the same."""


def _reference(field: str) -> int:
    from netdsl.recipe.reference import fields, reference

    if field and field not in fields():
        from netdsl.diagnostics import did_you_mean

        raise Failure(f"a recipe has no field `{field}`", did_you_mean(field, fields()))
    print("\n".join(reference(field or None)))
    return 0


def _draw(path: str, values: tuple[float, ...]) -> None:
    """The learning rate as a picture."""
    from PIL import Image, ImageDraw

    from netdsl.cli.files import replacing

    width, height, edge = 800, 300, 20
    image = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(image)
    top = max(values, default=1.0) or 1.0
    across = (width - 2 * edge) / max(1, len(values) - 1)
    points = [(edge + i * across, height - edge - v / top * (height - 2 * edge)) for i, v in enumerate(values)]
    draw.line(points, fill="#2563eb", width=2)
    draw.text((edge, 4), f"lr, up to {top:g}", fill="black")
    with replacing(path) as temporary:
        image.save(temporary, "PNG")
