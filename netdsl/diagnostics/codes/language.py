"""Codes of mistakes in what a spec says: its syntax, names, values, blocks and nets."""

from netdsl.diagnostics.codes.code import Code, net

LANGUAGE = (
    Code(
        "syntax",
        "The text does not follow the grammar",
        "The parser found something else than the grammar allows here. It skips the statement and reads on, so one run "
        "reports every mistake of a file.",
        net("input image [3, 32, 32]\nconv(8, 3"),
        net("input image [3, 32, 32]\nconv(8, 3)"),
    ),
    Code(
        "unknown-name",
        "Nothing has this name",
        "The name is no layer, block, argument, local or size that is known here. Names of the language are lower case "
        "(`relu`), blocks and nets are upper case; `netdsl ops` lists the layers.",
        net("input image [3, 32, 32]\nconv(8, 3) -> rleu"),
        net("input image [3, 32, 32]\nconv(8, 3) -> relu"),
    ),
    Code(
        "duplicate-name",
        "Two things have the same name",
        "Each name stands for one thing: two declarations of a file, two inputs or outputs, two labels of a body, "
        "a label and a `share`, or an input and an output cannot share it, because state-dict keys and ONNX names are "
        "made of it.",
        "W = 3\nW = 4\n",
        "W = 3\nV = 4\n",
    ),
    Code(
        "reserved-name",
        "A name that the language, Python or `nn.Module` needs",
        "`it` is the value that flows, and nothing else can be called that. What names a layer (a label, a `share`, a "
        "named `param`) becomes an attribute of the PyTorch module and a key of its state dict. Python's keywords, the "
        "attributes of `nn.Module` such as `half` or `train`, and names that begin with `_` are taken there.",
        net("input x [3]\nhalf: linear(3)"),
        net("input x [3]\nhalf_: linear(3)"),
    ),
    Code(
        "misplaced",
        "A statement stands where it has no meaning",
        "Inputs belong at the start of a net, and a shared layer cannot depend on a tensor: it is given one "
        "where it is used.",
        net("input x [3]\nshare f = x -> linear(3)\nf"),
        net("input x [3]\nshare f = linear(3)\nx -> f"),
    ),
    Code(
        "no-value",
        "No value flows here",
        "A layer acts on the value that flows. A net begins with an `input`; one with several inputs begins "
        "with one of them by name: `image -> ...`.",
        net("relu"),
        net("input x [4]\nrelu"),
    ),
    Code(
        "several-values",
        "Several tensors flow where one is needed",
        "Layers such as `chunk` give several tensors. Name them (`a, b = chunk(2)`) and say which one continues.",
        net("input x [4]\nchunk(2) -> relu"),
        net("input x [4]\na, b = chunk(2)\na * b"),
    ),
    Code(
        "not-a-layer",
        "A value stands where a layer is needed",
        "Statements and the stages of a pipeline are layers, blocks or tensors. A number, a text or a list "
        "does nothing to the value that flows.",
        net("input x [4]\n3"),
        net("input x [4]\nit * 3"),
    ),
    Code(
        "not-callable",
        "A value is called like a function",
        "Only layers, blocks and functions take arguments in brackets.",
        net("input x [4]\nc = 3\nc(2)"),
        net("input x [4]\nc = 3\nlinear(c)"),
    ),
    Code(
        "not-a-net",
        "The name is not a net",
        "A command or an `expect` names something that is declared, but is no net: a constant, a block or a recipe.",
        "$ netdsl summary mobilenet_v3:LARGE\n",
        "$ netdsl summary mobilenet_v3:MobileNetV3_Large\n",
    ),
    Code(
        "unknown-net",
        "There is no net of this name",
        "The file declares other nets. `netdsl check FILE` names them.",
        "expect Missing: params == 3\n",
        net("input x [4]\nlinear(2)") + "\nexpect Example: params == 10\n",
    ),
    Code(
        "no-net",
        "The file declares no net",
        "A net begins with `net Name { input image [3, 224, 224] ... }`.",
        "$ netdsl summary parts.net\n",
        "$ netdsl summary lenet\n",
        files=(("parts.net", "block Unit(c) = conv(c, 3) -> relu\n"),),
    ),
    Code(
        "unknown-size",
        "The inputs have no size of this name",
        "`--size H=224` gives a number to a named size of the net's inputs. An argument of the net is given with `-p`.",
        "$ netdsl summary fcn --size T=224\n",
        "$ netdsl summary fcn --size H=224\n",
    ),
    Code(
        "endless-recursion",
        "A block uses itself without end",
        "A recursive block needs an argument that gets smaller and an `if` that ends the recursion.",
        "block B(n) = B(n + 1)\n\n" + net("input x [4]\nB(1)"),
        "block B(n) {\n  linear(4) -> relu\n  if n > 0 { B(n - 1) }\n}\n\n" + net("input x [4]\nB(3)"),
    ),
    Code(
        "too-deep",
        "The spec is nested too deeply",
        "Brackets, blocks and imports nest to a fixed depth, so that no spec exhausts the machine.",
        unshown="a text that is nested deeply enough fills pages",
    ),
    Code(
        "requirement",
        "A `require` does not hold",
        "The author of the block states what its arguments must satisfy. The message is the author's.",
        'block B(c) {\n  require c % 2 == 0, "the width must be even"\n  linear(c)\n}\n\n' + net("input x [4]\nB(3)"),
        'block B(c) {\n  require c % 2 == 0, "the width must be even"\n  linear(c)\n}\n\n' + net("input x [4]\nB(6)"),
    ),
    Code(
        "broken-expectation",
        "An `expect` does not hold",
        "`expect` states what must be true of a net: its parameters, MACs or output shape. The message gives the value "
        "that was computed.",
        net("input x [4]\nlinear(2)") + "\nexpect Example: params == 11\n",
        net("input x [4]\nlinear(2)") + "\nexpect Example: params == 10\n",
    ),
    Code(
        "missing-argument",
        "An argument without a default was not given",
        "The layer or block cannot be built without it. `netdsl ops NAME` shows what a layer takes.",
        net("input x [4]\nlinear"),
        net("input x [4]\nlinear(8)"),
    ),
    Code(
        "unknown-argument",
        "There is no argument of this name",
        "Arguments have PyTorch's names, but the width of the input is never given: it is known from the value that "
        "flows. `netdsl ops NAME` shows what a layer takes.",
        net("input x [3, 8, 8]\nconv(8, 3, strid=2)"),
        net("input x [3, 8, 8]\nconv(8, 3, stride=2)"),
    ),
    Code(
        "migration",
        "This version of the language reads it in another way",
        "`netdsl check --migrate` lists what meant something else before; `docs/language.md` ends with changes.",
        "$ netdsl check old.net --migrate\n",
        "$ netdsl check new.net --migrate\n",
        files=(
            ("old.net", net("input x [4, 8, 8]\nparts = [x -> conv(4, 3), relu]\nparts[0] -> relu")),
            ("new.net", net("input x [4, 8, 8]\nparts = [{ x -> conv(4, 3) }, relu]\nparts[0] -> relu")),
        ),
    ),
    Code(
        "duplicate-argument",
        "An argument is given twice",
        "Once by position and once by name, or twice by name.",
        net("input x [3, 8, 8]\nconv(4, 3, stride=2, stride=1)"),
        net("input x [3, 8, 8]\nconv(4, 3, stride=2)"),
    ),
    Code(
        "too-many-arguments",
        "More values than there are positions",
        "Only the arguments that everyone knows by their order are positional (`conv(64, 3)`); the others are given by "
        "name.",
        net("input x [4]\nrelu(1, 2)"),
        net("input x [4]\nrelu"),
    ),
    Code(
        "argument-type",
        "An argument has a value of the wrong kind",
        "For example a text where a number is needed, or `1` where `true` is meant.",
        net('input x [3, 8, 8]\nconv("8", 3)'),
        net("input x [3, 8, 8]\nconv(8, 3)"),
    ),
    Code(
        "unknown-word",
        "The word is none of those that are allowed here",
        "Arguments such as `padding_mode` and fields such as `optimizer` take one of a set of words. The message lists "
        "them.",
        net("input x [3, 8, 8]\nconv(8, 3, padding_mode=zero)"),
        net("input x [3, 8, 8]\nconv(8, 3, padding_mode=zeros)"),
    ),
    Code(
        "bad-arithmetic",
        "The arithmetic has no result",
        "A division by zero, a root of a negative number, or a function of a value it is not defined for.",
        net("input x [8]\nlinear(1 / 0)"),
        net("input x [8]\nlinear(4 // 2)"),
    ),
    Code(
        "operator-types",
        "The operator is not defined for these values",
        "Operators act on numbers, sizes, lists and tensors as in Python. A text and a number do not add.",
        net('input x [8]\nlinear("a" - 1)'),
        net("input x [8]\nlinear(3 - 1)"),
    ),
    Code(
        "not-a-size",
        "A size is needed here",
        "Sizes are whole numbers from 1, named sizes (`H`) and arithmetic on them.",
        net("input x [2.5]\nrelu"),
        net("input x [2]\nrelu"),
    ),
    Code(
        "not-a-list",
        "A list is needed here",
        "`for` runs over a list or a `range`, and only a list has items.",
        net("input x [8]\nfor i in 3 { relu }"),
        net("input x [8]\nfor i in range(3) { it + i }"),
    ),
    Code(
        "not-a-number",
        "A whole number is needed here",
        "`repeat` takes a whole number from 0, and items of lists are chosen by whole numbers.",
        net("input x [8]\nrepeat 2.5 { relu }"),
        net("input x [8]\nrepeat 2 { linear(8) -> relu }"),
    ),
    Code(
        "bad-index",
        "The list has no such item",
        "Items are counted from 0, or from the end with negative numbers.",
        "X = [1, 2][5]\n\n" + net("input x [8]\nlinear(X)"),
        "X = [1, 2][1]\n\n" + net("input x [8]\nlinear(X)"),
    ),
    Code(
        "bad-size",
        "A size is not possible",
        "Sizes of inputs are at least 1.",
        net("input x [0]\nrelu"),
        net("input x [1]\nrelu"),
    ),
    Code(
        "unknown-dtype",
        "There is no such element type",
        "Inputs are float32 unless said otherwise: `input tokens [L] int64`.",
        net("input tokens [16] integer\none_hot(100)"),
        net("input tokens [16] int64\none_hot(100)"),
    ),
    Code(
        "undecided",
        "A condition depends on the size of the input",
        "An `if` chooses the layers that exist, so it must be decided before the net runs. A condition on a named size "
        "is decided where the size is fixed (`--size`), or stated with `require`.",
        net("input x [4, T]\nif T > 3 { relu }"),
        net("input x [4, 8]\nrelu"),
    ),
)
