"""Codes of mistakes in plug-ins, and of plug-ins that are not there."""

from netdsl.diagnostics.codes.code import Code, net

TWOFOLD = """\
from netdsl.plugins import *

plugin = Plugin("twofold")


@plugin.op("twice")
class Twice(Op, frozen=True):
    "Two times x."

    examples = (Example("twice"),)

    def infer(self, assume, *x):
        return x[0]

    def torch(self, *x):
        return Torch(None, Call("twofold.doubled", (X(),)), imports=("twofold",))


def doubled(x):
    return 2 * x
"""
"""A plug-in whose layer has no ONNX form."""

PLUGINS = (
    Code(
        "unknown-plugin",
        "There is no plug-in of this name",
        "`--plugin NAME`, `[tool.netdsl] plugins` and `netdsl.plugins.load` take the name under which an installed "
        "package registers itself in the entry points `netdsl.plugins`, or that of a Python module, which may lie in "
        "the working directory. The message lists what is installed.",
        "$ netdsl summary lenet --plugin nowhere\n",
        "$ netdsl summary lenet\n",
    ),
    Code(
        "unfit-plugin",
        "What a plug-in provides cannot be used",
        "A plug-in is checked before anything of it is registered: it is a `Plugin`, its names are new, ops have "
        "`infer`, `torch`, a docstring and examples that become PyTorch, components extend the class of their field "
        "and can be written in a recipe, functions are there. Further mistakes follow as notes.",
        "$ netdsl summary lenet --plugin mine\n",
        "$ netdsl summary lenet\n",
        files=(("mine.py", "plugin = 3\n"),),
    ),
    Code(
        "plugin-failed",
        "A plug-in raises an exception",
        "The message names the plug-in, what of it was called, and the line of its own file. While training, the run "
        "is kept up to its last checkpoint, and `--resume` continues once the plug-in is corrected.",
        "$ netdsl summary lenet --plugin broken\n",
        "$ netdsl summary lenet\n",
        files=(("broken.py", "import no_such_package\n"),),
    ),
    Code(
        "missing-plugin",
        "A run needs a plug-in that is not loaded",
        "A run records the plug-ins that its net and recipe need. Opening it loads nothing by itself: name them with "
        "`--plugin NAME`, with `[tool.netdsl] plugins` in the pyproject.toml of the working directory, or with "
        "`netdsl.plugins.load`.",
        unshown="a plug-in has to be gone between two commands",
    ),
    Code(
        "no-onnx-form",
        "A layer of a plug-in has no ONNX form",
        "Its author has written no `onnx`, and the message repeats the reason where one is given. `--emit torch` "
        "writes the net as PyTorch, and a training leaves everything but model.onnx.",
        "$ netdsl compile twice.net --plugin twofold\n",
        "$ netdsl compile twice.net --plugin twofold --emit torch\n",
        files=(("twofold.py", TWOFOLD), ("twice.net", net("input x [4]\ntwice"))),
    ),
)
