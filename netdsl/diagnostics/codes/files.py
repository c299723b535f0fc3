"""Codes of mistakes in files: specs that cannot be read, folders, imports."""

from netdsl.diagnostics.codes.code import Code, net

FILES = (
    Code(
        "no-such-file",
        "There is no file of this name",
        "The path is looked up from the folder you are in. A spec of the installed zoo is named without a path and "
        "without `.net`: `resnet:ResNet50`. `netdsl zoo` lists them.",
        "$ netdsl summary lenett\n",
        "$ netdsl summary lenet\n",
    ),
    Code(
        "is-a-directory",
        "A spec was expected, and this is a folder",
        "Name one file in it, or check the whole folder: `netdsl check FOLDER`.",
        "$ netdsl summary .\n",
        "$ netdsl summary lenet\n",
    ),
    Code(
        "unreadable",
        "The file cannot be read",
        "The operating system refuses to open the file, or it is a pipe or a device. The message repeats the "
        "system's reason.",
        "$ netdsl summary /dev/null\n",
        "$ netdsl summary lenet\n",
    ),
    Code(
        "not-a-spec",
        "The file holds no text",
        "Specs are UTF-8 text. This file holds bytes that no text has, so it is something else: an image, an "
        "archive, a checkpoint.",
        unshown="a binary file is no text",
    ),
    Code(
        "not-utf8",
        "The text is not UTF-8",
        "Specs are stored as UTF-8. The message names the first byte that does not belong to it; most editors"
        " can convert the file.",
        unshown="what is shown here is UTF-8",
    ),
    Code(
        "too-large",
        "The spec or one of its values is too large",
        "A limit keeps every check short: specs have at most 512 KiB and 60,000 tokens, and values that a "
        "spec computes are bounded, so that no spec can exhaust the machine.",
        "X = 10 ** 100000\n\n" + net("input x [8]\nlinear(X)"),
        "X = 10 ** 2\n\n" + net("input x [8]\nlinear(X)"),
    ),
    Code(
        "too-much-work",
        "The spec takes too much work to check",
        "Loops, lists, layers and symbolic sizes are paid from one budget of work for each check, counted in steps, "
        "not in seconds. The message names the construct in which it ended. A net of a thousand layers takes a "
        "thirtieth of it.",
        net("input x [8]\nrepeat 9000 { repeat 9000 { y = 1 } }\nlinear(4)"),
        net("input x [8]\nrepeat 3 { repeat 3 { linear(8) -> relu } }\nlinear(4)"),
    ),
    Code(
        "empty-spec",
        "The file declares nothing",
        "A spec declares blocks, nets, constants, recipes or imports; this one holds at most comments.",
        "$ netdsl check empty.net\n",
        "$ netdsl check full.net\n",
        files=(
            ("empty.net", "# nothing yet\n"),
            ("full.net", "net Full {\n  input image [3, 8, 8]\n  gap -> linear(10)\n}\n"),
        ),
    ),
    Code(
        "unknown-module",
        "An import names no file",
        "`from name import Block` looks for `name.net` beside the importing spec, then in the installed zoo.",
        "from resnett import Bottleneck\n",
        "from resnet import Bottleneck\n",
    ),
    Code(
        "cyclic-import",
        "Files import each other in a circle",
        "Each of the files needs the other one first. Move what both use into a third file.",
        "$ netdsl check a.net\n",
        "$ netdsl check c.net\n",
        files=(
            ("a.net", "from b import B\n\nblock A = B -> relu\n"),
            ("b.net", "from a import A\n\nblock B = A -> relu\n"),
            (
                "c.net",
                "block A = relu\nblock B = A -> conv(8, 3)\n\nnet C {\n  input image [3, 8, 8]\n  B -> gap\n}\n",
            ),
        ),
    ),
    Code(
        "format-unsafe",
        "The formatter cannot prove its result",
        "`netdsl fmt` writes a file only if the new text has the same syntax tree and the same comments as "
        "the old one. This is a bug in netdsl: the file was left alone; please report it.",
        unshown="only a bug of the formatter gives it",
    ),
    Code(
        "internal-error",
        "The language server failed on this text",
        "This is a bug in netdsl: please report it with the spec. The server continues with the next edit.",
        unshown="only a bug of the server gives it",
    ),
)
