"""Codes of mistakes in experiments, and of what ends one."""

from netdsl.diagnostics.codes.code import Code

NET = """net Example(width=16, depth=1) {
  input image [1, 8, 8]
  flatten
  repeat depth { linear(width) -> relu }
  linear(10)
}

recipe Short for Example {
  epochs = 3
}
"""


def experiment(entries: str, net: str = NET) -> str:
    """An example spec: a small net with a recipe, and an experiment of these entries."""
    lines = "\n".join(f"  {line}" for line in entries.splitlines())
    return f"{net}\nexperiment Widths for Example {{\n{lines}\n}}\n"


RIGHT = experiment("vary width = [8, 16, 32]\nmeasure = [test.top1, params]")
SHORT = experiment("vary width = [4, 8]\nmeasure = [test.top1]", NET.replace("epochs = 3", "steps = 1"))

EXPERIMENTS = (
    Code(
        "unknown-experiment",
        "There is no experiment of this name",
        "`netdsl experiment SPEC:NAME` names an experiment of the file; a file with one needs no name.",
        "$ netdsl experiment lenet:Widths --plan\n",
        "$ netdsl experiment lenet --plan\n",
    ),
    Code(
        "unknown-path",
        "A path means nothing here",
        "`vary` changes an argument of the net or a field of its recipe (`optimizer.lr`); `compare` and `plot` refer "
        "to what varies. The seed is the experiment's own: `seeds = 3`.",
        experiment("vary widht = [8, 16]\nmeasure = [test.top1]"),
        RIGHT,
    ),
    Code(
        "ambiguous-path",
        "A path is an argument of the net and a field of the recipe",
        "Nobody could say which of the two varies. Give the argument of the net another name.",
        experiment("vary batch = [8, 16]\nmeasure = [test.top1]", NET.replace("width", "batch")),
        RIGHT,
    ),
    Code(
        "unknown-measure",
        "Nothing measures this",
        "Measures are `params`, `macs`, `steps`, `seconds`, and the metrics of a split: `test.top1`, `train.loss`, "
        "`validation.top1`. The recipe says which metrics there are (`metrics = [f1]`) and whether samples are held "
        "out (`validation = 0.1`).",
        experiment("vary width = [8, 16]\nmeasure = [accuracy]"),
        RIGHT,
    ),
    Code(
        "empty-grid",
        "Nothing is left to train",
        "A factor without values gives no cell.",
        experiment("vary width = []\nmeasure = [test.top1]"),
        RIGHT,
    ),
    Code(
        "unfit-cell",
        "A cell of an experiment does not check",
        "Each cell is checked as `netdsl train` with its values would be. The message names the cell, or the value "
        "with which no cell checks.",
        experiment("vary width = [8, 0]\nmeasure = [test.top1]"),
        RIGHT,
    ),
    Code(
        "few-pairs",
        "A comparison cannot be significant",
        "Cells are compared by the differences of their runs with the same seed. The smallest p of the exact sign-flip "
        "test of n pairs is 2 / 2^n: 6 pairs can fall below 0.05, 5 cannot. Several comparisons need more (Holm 1979).",
        experiment("vary width = [8, 16]\nseeds = 3\nmeasure = [test.top1]\ncompare test.top1 against width = 8"),
        experiment("vary width = [8, 16]\nseeds = 6\nmeasure = [test.top1]\ncompare test.top1 against width = 8"),
    ),
    Code(
        "not-an-experiment",
        "The folder is not one of this experiment",
        "It holds something else, an experiment of another name, or one written by a newer version of netdsl. Choose "
        "another folder with `-o`.",
        "$ netdsl experiment widths.net -o out\n",
        "",
        files=(("widths.net", SHORT), ("out/notes.txt", "mine\n")),
    ),
    Code(
        "changed-experiment",
        "The folder holds runs of an earlier form of the experiment",
        "Runs are kept by what decides them: the net, the recipe and the seed. A run of the same cell that was decided "
        "by something else would be mixed up with new ones. Choose another folder, or delete the one that is named.",
        "$ netdsl experiment widths.net -o out\n$ netdsl experiment widths.net -o out --set steps=2\n",
        "",
        files=(("widths.net", SHORT),),
    ),
    Code(
        "worker-died",
        "A process that trains cells has ended",
        "Usually the system ended it for want of memory. The cell is tried once more; with fewer workers "
        "(`--workers 1`) each has more memory.",
        unshown="a process has to be ended from outside",
    ),
)
