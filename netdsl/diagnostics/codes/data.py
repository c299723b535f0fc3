"""Codes of mistakes in data: files and folders of samples, tables, and arrays that are given in Python."""

from netdsl.diagnostics.codes.code import Code


def _prices(target: str) -> str:
    """A spec that learns the prices of a table."""
    data = f'csv("prices.csv", target="{target}")'
    net = "net Prices {\n  input x [1]\n  linear(1)\n}\n"
    return f"{net}\nrecipe Fit for Prices {{\n  data = {data}\n  loss = mse\n}}\n"


KINDS = """\
net Example {
  input x [1]
  linear(2)
}

recipe Sort for Example {
  data = csv("kinds.csv", target="kind", test="new.csv")
}
"""
"""A spec that sorts the rows of a table."""

DATA = (
    Code(
        "missing-data",
        "The files of a data set are not there",
        "The message names the file or folder that was looked for. Paths in a spec are relative to the spec, paths of "
        "`--data` and `--set` to the working directory. Data that were given in Python are given again to resume.",
        "$ netdsl train lenet --data 'mnist(\"nowhere\")'\n",
        "",
    ),
    Code(
        "unreadable-data",
        "A data file is damaged or has another format",
        "The message names the file and what is wrong with it: it is cut off, compressed in another way, not an image, "
        "or the operating system refuses to read it. Replace the file, or leave it out.",
        "$ netdsl train lenet --data 'npz(\"notes.npz\")'\n",
        "",
        files=(("notes.npz", "to do: measure\n"),),
    ),
    Code(
        "missing-column",
        "The data have no array, column or split of this name",
        "The message lists the names that are there. The source in the recipe takes them as arguments: "
        '`npz("a.npz", inputs=["x"])`, `hub("user/name", label="fine_label")`.',
        "$ netdsl train prices.net\n",
        "",
        files=(
            (
                "prices.net",
                _prices("cost"),
            ),
            ("prices.csv", "area,price\n50,1.5\n80,2.5\n60,1.9\n"),
        ),
    ),
    Code(
        "no-samples",
        "A split has no samples",
        "Training needs at least one sample to train on and one to test on. A folder of images holds a folder for each "
        "class; an archive holds pairs of files; a text is longer than one window.",
        "$ netdsl train prices.net\n",
        "",
        files=(("prices.net", _prices("price")), ("prices.csv", "area,price\n")),
    ),
    Code(
        "unpaired-samples",
        "Inputs and targets do not belong together",
        "Each input needs one target: arrays of the same length, a mask of the image's name and size, a class beside "
        "each image. The message names the file or the row, and what was found.",
        unshown="its files are images and arrays, which are no text",
    ),
    Code(
        "uneven-samples",
        "Samples differ in shape or kind",
        "All samples of a data set have one shape, and the training split and the test split have the same kind of "
        "targets. Resize or pad the samples.",
        unshown="its files are images and arrays, which are no text",
    ),
    Code(
        "unknown-class",
        "A class that training does not have",
        "The test split, or a target, names a class that the training split does not have. Class numbers run from 0 to "
        "the number of classes less one.",
        "$ netdsl train kinds.net\n",
        "",
        files=(("kinds.net", KINDS), ("kinds.csv", "size,kind\n1,ant\n2,bee\n"), ("new.csv", "size,kind\n1,wasp\n")),
    ),
    Code(
        "not-finite-data",
        "The data hold NaN or infinity",
        "One such value makes the loss NaN and destroys the weights. The message names the first row that has one: "
        "replace the value, or leave the row out.",
        "$ netdsl train prices.net\n",
        "",
        files=(("prices.net", _prices("price")), ("prices.csv", "area,price\n50,1.5\ninf,2.5\n60,1.9\n")),
    ),
    Code(
        "data-type",
        "The data hold values of another kind",
        "Texts where numbers are needed, colours where a mask holds class numbers, numbers where a class is needed. "
        "Convert them before they are read.",
        "$ netdsl train prices.net\n",
        "",
        files=(
            (
                "prices.net",
                _prices("price"),
            ),
            ("prices.csv", "area,price\n50,1.5\n80,2.5\nlarge,1.9\n"),
        ),
    ),
    Code(
        "data-value",
        "The data hold values outside their range",
        "Pixels to augment lie between 0 and 1, labels of `bce` too; edges of a graph name nodes that exist; the "
        "values of masks count the classes from 0.",
        "$ netdsl train prices.net\n",
        "",
        files=(("prices.net", _prices("price")), ("prices.csv", "area,price\n50,1.5\n80,\n60,1.9\n")),
    ),
    Code(
        "hub-unreachable",
        "The Hub cannot be reached",
        "The data set is not in the local cache of the package `datasets`, and there is no network. Load it once where "
        "there is one, or name a folder that holds it.",
        unshown="it depends on the network",
    ),
    Code(
        "missing-package",
        "An optional package is not installed",
        "Some readers and options need a package that netdsl does not install by itself. The message names it.",
        unshown="it depends on what is installed",
    ),
)
