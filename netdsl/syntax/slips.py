"""Slips that people make, and what they meant: the hints of syntax errors."""

from __future__ import annotations

import re
from collections.abc import Set
from keyword import kwlist

from msgspec import Struct

from netdsl.diagnostics.diagnostic import did_you_mean

_WORDS = {
    "def": "a block is declared as `block Name(c) { ... }`",
    "class": "a net is declared as `net Name(c) { ... }`",
    "elif": "it is written `else if`",
    "else": "`else` follows the `}` of an `if`",
    "return": "the last value of a body is its result; in a net, `output name = ...` names one",
    "lambda": "a pipeline in parentheses is a function of `it`",
    "while": "loops are unrolled when the spec is compiled: `for x in list { ... }` or `repeat n { ... }`",
    "is": "values are compared with `==`",
}
_HEADS = ("class", "def")
"""Words that begin a declaration elsewhere; anywhere else they are meant as names."""
_STATEMENTS = ("input", "output", "share", "repeat", "require", "for", "if")
_DECLARATIONS = ("block", "net", "recipe", "expect", "from", "experiment")
_ENTRIES = ("group", "freeze", "vary", "measure", "compare", "plot")
_OURS = ("for", "in", "if", "else", "and", "or", "not", "True", "False", "None", "from", "import", "as")
_UNITS = ("epochs", "steps")

_UNITS_ELSEWHERE = dict.fromkeys(
    ("iter", "iters", "iteration", "iterations", "its", "it", "batches", "updates"), "did you mean `steps`?"
)
_VALUE = r"[\w\"'(\[{]"
_ENDINGS = "csv|tsv|npz|npy|txt|parquet|json|safetensors|onnx|pt|pth|tar|bin|png|jpg"
_IMPORTED = "names are imported at the top of the file: `from resnet import Bottleneck`"
NO_LAYER = "a layer is missing after `->`"
BRACES = "a body is written in braces: `{ ... }`"
_OWN_LINES = "every statement and every field stands on a line of its own"


_NEEDLESS = ("let", "const", "var", "val", "set", "int", "float", "double", "bool", "str", "auto", "final", "static")
_TRAINING = "how a net is trained is a declaration of its own: `recipe Name for Net { ... }`"
_NAMED = "a value is named by `as`: `conv(64, 3) as skip`"
_BRANCHES = r"add|parallel|branch|branches|concat|fork|inception|sum"
_JOINED = (
    "branches stand in the call that joins them: `concat(conv(8, 3), conv(8, 1))`; `residual { ... }` adds its input"
)
_PARTS = "a part of a tensor is `x -> narrow(0, 2)`, one position `x -> take(-1, axis=0)`; the batch is no axis"
_HEAD = r"^\s*(?:block|net)\s+\w+\s*(?:\([^\[\]]*\))?\s*$"
_ARGUMENT = r"^\s*(?:block|net)\s+\w+\s*\((?:[^()]*,)?\s*$"
_ALONE = r"[A-Za-z_]\w*[^\S\n]*(?:#|\n|$)"

_CALLED_LINK = r"(?i)\bres\w*\s*\([^()]*\)\s*$"

LONG = 600
"""Characters of a statement that are looked at: its beginning and its end."""


class Slip(Struct, frozen=True):
    """Text `at` a mistake, `before` it in its statement (regular expressions), and a terminal expected there."""

    hint: str
    at: str = ""
    before: str = ""
    expected: str = ""
    message: str = ""


_SLIPS = (
    Slip("`as` ends a statement: what follows stands on the next line", r"->", r"\bas\s+\w+\s*$"),
    Slip("a layer is missing between two arrows", r"->", r"->\s*$"),
    Slip("the arrow is `->`", r"followed\b|(?:and\s+)?then\b", r"^(?!\s*(?:if|else)\b)[\s\S]*[\w)]\s+$"),
    Slip("the arrow is `->`", r"by\b", r"\bfollowed\s+$"),
    Slip("a recipe extends another one: `recipe Fast for Net extends Base { ... }`", r"\(", r"^\s*recipe\s+\w+\s*$"),
    Slip(
        "a variant has a name: `net Small = Net(width=8)`, then `recipe ... for Small`",
        r"\(",
        r"^\s*recipe\s+\w+\s+for\s+\w+\s*$",
    ),
    Slip("a matrix is transposed as `x -> permute((1, 0))`: the batch is no axis", r"\.(?:m?T|t\(\))(?!\w)"),
    Slip("a text is written in quotes", rf"\.(?:{_ENDINGS})\b"),
    Slip("an output of training alone is written `output aux = ... when training`", r"\n|$", r"\bif\s+training\s*$"),
    Slip(
        "a condition stands before its body: `if wide { conv(64, 1) }`",
        r"\n|$",
        r"\bif\b(?!.*\belse\b)[^\n]*$",
        "_ELSE",
    ),
    Slip("the size of a number is `a - b -> absolute`", r"\|", r"[=(,]\s*$"),
    Slip("a residual link is written `residual { ... }`", r"\{", _CALLED_LINK),
    Slip("a residual link under a condition is `residual(when = stride == 1) { ... }`", r"if\b", r"\bresidual\s*\("),
    Slip("what varies stands before `=`: `vary width = [8, 16]`", r"=(?!=)", r"^\s*vary\s*="),
    Slip("a share is written `0.1`, a time `5 epochs` or `500 steps`", r"[,)]", r"[(=,]\s*[\d.]+\s*%$"),
    Slip("the arrow is `->`", r"=+>|~+>|--+>|-\s+>|\|+>|[\u2190-\u21ff\u27f6\u2794\u279c]|[\u2013\u2014]\s*>?"),
    Slip("the arrow is `->`", r">", r"(?:-\s+|~|>|\+)$"),
    Slip(_NAMED, r"@", r"->\s*$"),
    Slip("nothing begins with `@`: a file holds nets, blocks, recipes and what they need", r"@", r"^\s*$"),
    Slip("no word is needed before it", r"(?:net|block|recipe|experiment)\b", r"^\s*[A-Za-z]+\s+$"),
    Slip("no word is needed before it", r"[A-Za-z_]\w*\s*:", r"^\s*(?:layer|stage|op|module)\s+$"),
    Slip("no word is needed before it", r"[A-Za-z_]\w*\s*\(", r"=\s*(?:layer|new|op|module)\s+$"),
    Slip(_TRAINING, r"[A-Za-z_]", r"^\s*(?:train|training|trainer|compile|fit|learn|config)\s+$", "top"),
    Slip(_TRAINING, r"\.(?:compile|fit|train)\b", r"^\s*\w+$"),
    Slip("a recipe has a name: `recipe Name for Net { ... }`", r"for\b", r"^\s*recipe\s+$"),
    Slip("the net follows the word `for`: `recipe Name for Net { ... }`", r"[A-Za-z]", r"^\s*recipe\s+\w+\s+$"),
    Slip("layers are repeated by `repeat 3 { ... }`", r"times\b", r"^\s*\w+\s+$"),
    Slip("the number is followed by braces: `repeat 3 { ... }`", r"[A-Za-z]\w*\s*\{", r"^\s*repeat\s+\w+\s+$"),
    Slip(_JOINED, r"\{", rf"^\s*(?:{_BRANCHES})\s*$"),
    Slip(_JOINED, r",", rf"^\s*(?:{_BRANCHES})\s*\[[^\]]*$"),
    Slip(_PARTS, r"[,:]", r"\w\[[^\]]*$", "COLON"),
    Slip(_PARTS, r"[,:]", r"\w\[\s*:?[^\]\s]*$"),
    Slip("an output is a statement: `output name = ...`", r"[A-Za-z]", r"->\s*output\s+$"),
    Slip("`=` stands before a single expression: `block B(c) = conv(c, 3)`", r"[-=]>", _HEAD),
    Slip("arguments have names: `net N(width=8)`; the input is declared in the body", r"[0-9\[(\"']", _ARGUMENT),
    Slip("an argument is given as `name=value`", r"\d", r"[(,]\s*[a-z_]+\s+$", "COMMA"),
    Slip("a square kernel is one number: `conv(64, 3)`", r"[xX]\d", r"^(?!\s*input\b)[\s\S]*\d$"),
    Slip('strings are quoted with a plain `"`', r"[\u2018-\u201f\u00ab\u00bb`]"),
    Slip(
        "it ends with the quote that opened it", r"\"(?![^\"\n]*\")|'(?![^'\n]*')", message="the string is not closed"
    ),
    Slip('a string stands on one line, between single `"`', r"[\"']", r"(?:\"\"|'')$"),
    Slip("strings have no prefix but `f`", r"[\"']", r"\b[FrRbBuU]$"),
    Slip("statements stand on lines of their own, without `;`", r";"),
    Slip("it is written `and`", r"&"),
    Slip("it is written `or`", r"\|\|"),
    Slip("it is written `not`", r"!"),
    Slip("a variant is written `net Large = Base(depth=50)`", r"extends\b", r"^\s*net\s+\w+\s*$"),
    Slip("a choice is written `a if condition else b`", r"\?[^:\n]*:"),
    Slip("names stand before `=` without brackets: `a, b, c = ...`", r"[(\[]", r"^\s*\w+\s*,\s*$"),
    Slip("a shape is compared by itself: `expect Net: output == [10]`", r"\.(?:shape|size)\b", r"^\s*expect\b"),
    Slip("what a net is held to follows a colon: `expect Net: output == [10]`", r"\.", r"^\s*expect\s+\w+$"),
    Slip("selectors stand one after another: `group norm, bias { ... }`", r"[\[(\"']", r"^\s*(?:group|freeze)\s+$"),
    Slip("write it out: `x = x + 1`", r"=", r"(?:[-+/%@]|\*\*?)$"),
    Slip("it is written `name = value`", r"=", r":\s*$"),
    Slip("a comment begins with `#`", r"//|/\*|\*", r"^\s*$"),
    Slip("names are written in the letters a to z, digits and `_`", r"[^\W\d_a-zA-Z]"),
    Slip("`=` gives a value, `==` compares", r"==", expected="_EQUAL"),
    Slip("`==` compares, `=` gives a value", r"=(?!=)", r"^\s*(?:if|require|else\s+if|expect)\b"),
    Slip("`==` compares, `=` gives a value", r"=(?!=)", r"\b(?:if|and|or|not)\s[^,(]*$"),
    Slip(BRACES, r":", expected="braces"),
    Slip(f"{BRACES}; `:` begins a signature `[C, H, W] -> [C, H, W]`", r"", r"^\s*(?:block|net)\b.*\)\s*:\s*$"),
    Slip("a label and its statement share a line, or it names braces", r"\n|$", r":\s*$", "SHARE"),
    Slip("arguments have no types", r":", r"^\s*(?:block|net)\b[^:{]*\([^){]*$"),
    Slip("an input has a name: `input image [3, 224, 224]`", r"[,\]]", r"^\s*input\s*\[[^\]]*$"),
    Slip("an input is written `input image [3, 224, 224]`", r"", r"^\s*input\b", "LSQB"),
    Slip("shared weights have a name: `share f = conv(64, 3)`", r"", r"^\s*share\b", "_EQUAL"),
    Slip("a loop is written `for name in list { ... }`", r"", expected="_IN"),
    Slip(_OWN_LINES, r",\s*[A-Za-z_]\w*\s*=(?!=)", expected="_NEWLINE"),
    Slip(_OWN_LINES, r"[A-Za-z_]\w*\s+=(?!=)", r"^\s*\w+\s*=.*\s$", "_NEWLINE"),
    Slip("components follow each other with `->`", r",", r"^\s*(?:augment|schedule|init|mix)\s*=(?!=)", "_NEWLINE"),
    Slip("several names stand before `=`: `a, b = ...`", r"[\[(]", r"\bas\s+$"),
    Slip("names stand before `=` without brackets: `a, b = ...`", r"=(?!=)", r"^\s*\([\w\s,]*\)\s*$"),
    Slip("each output is a statement of its own: `output name = ...`", r"\{", r"^\s*outputs?\s*$"),
    Slip("each output is a statement of its own: `output name = ...`", r",", r"^\s*outputs?\b"),
    Slip("a tuple is written in parentheses", r",", r"(?<![=!<>])=(?!=)[^{]*$", "_NEWLINE"),
    Slip(_OWN_LINES, r",", expected="_NEWLINE"),
    Slip("`for` stands before `extends`", r"for\b", r"\bextends\b"),
    Slip("the net stands in the head: `recipe Name for Net { ... }`", r"for\b", expected="GROUP"),
    Slip("values are listed: `[8, 16]`, or computed: `[*range(8, 17)]`", r"\.", r"[0-9]\.?$", "_NEWLINE"),
    Slip("a pipeline begins with a layer; `it` is the value that flows in", r"->", expected="SHARE"),
    Slip(NO_LAYER, r"", r"->\s*$"),
    Slip(
        "inside parentheses an expression continues to the next line",
        r"\n|$",
        r"(?:[-+*/%@<>]|==|\b(?:and|or|not|in))$",
    ),
    Slip("a list is written `[...]`; values have names only as arguments", r":", r"^[\"'][^{}]*$"),
    Slip("sizes are named by the block's signature: `block B(c): [C, H, W] -> [c, H, W]`", r"\.", r"\bit$"),
    Slip("the type of an input follows its shape: `input tokens [L] int64`", r":", r"^\s*input\b.*\]\s*$"),
    Slip(
        "a residual link is `residual { layernorm -> attention(8) }`: its layers are written where they are used",
        r"\.\w+(?:\.\w+|\[\w+\])*\(",
        r"(?:^|\n)\s*(\w+)\s*=\s*\1\s*\+\s*(?:[\w.]+\()*self$",
    ),
    Slip(
        "a learned tensor is made where it is used: `it + param((64, 128))`",
        r"\.\w+\s*(?:$|\n|[-+*/])",
        r"[-+*/]\s*self$",
    ),
    Slip(
        "it is written out where it is used, `x -> conv(64, 3)`; `share f = conv(64, 3)` names what is used again",
        r"\.",
        r"\bself$",
    ),
    Slip("a label stands for all that is in it: `freeze stem`", r"\.\*", r"^\s*(?:freeze|group)\b"),
    Slip("names have no dots: a layer is called by its own name", r"\.", r"[A-Za-z0-9_)\]]$"),
    Slip("arguments are splatted with one `*`, from a list", r"\*\*", expected="STAR"),
    Slip("no word is needed: `name = value`", r"[A-Za-z_]", rf"^\s*(?:{'|'.join(_NEEDLESS)})\s+$"),
    Slip(_IMPORTED, r"", r"^\s*(?:import|from)\b"),
    Slip(_IMPORTED, r"import\b", r"^\s*$"),
    Slip("the recipe is an entry, `recipe = Name`", _ALONE, r"^\s*recipe\s+$", "field"),
    Slip("the net stands in the head, before the brace: `... for Net { ... }`", _ALONE, r"^\s*net\s+$", "field"),
    Slip(
        "declarations stand at the top of the file",
        r"[A-Za-z_]",
        r"^\s*(?:block|net|recipe|expect|experiment)\s+$",
        "_EQUAL",
    ),
    Slip("a name cannot begin with a digit; a product is written with `*`", r"[A-Za-z_]", r"[0-9]$"),
    Slip("arguments stand in parentheses, as in `conv(64, 3)`", r"[0-9]", r"^\s*(?:\w+:\s*)?[A-Za-z_]\w*\s+$", "ARROW"),
    Slip("layers stand in the body of a `block` or a `net`", r"\(|->", r"^(?!block|net|recipe|expect)\w+\s*$", "top"),
    Slip("a constant is written `NAME = value`", r"", r"^(?!block|net|recipe|expect)\w+\s*$", "top"),
    Slip("a field is written `name = value`", r"", r"^\s*[A-Za-z_]\w*\s*$", "field"),
    Slip(BRACES, _VALUE, expected="braces"),
    Slip("an operator or a comma is missing", _VALUE, expected="COMMA"),
    Slip("one value stands after `=`, and nothing else", r"[A-Za-z_]", r"(?:^|\n)\s*\w+\s*=\s*[\d._]+\s+$", "_NEWLINE"),
    Slip("`->` is missing between two layers, or a new line between two statements", _VALUE, expected="_NEWLINE"),
)
_COMPILED = tuple((slip, re.compile(slip.at), re.compile(slip.before)) for slip in _SLIPS)
_COMMENTS = re.compile(r"\A(?:[^\S\n]*(?:#[^\n]*)?\n)+")
"""The lines of comments above a statement."""
_WORD = re.compile(r"[^\W\d]\w*")
LINK = re.compile(r"([A-Za-z_]\w*)\s*(?:\((?:[^()]|\([^()]*\))*\))?\s*$")
_STATED = re.compile(r"^\s*\w+\s+$")


def _of_python(word: str, before: str) -> str | None:
    """A hint for a word of Python's: what stands for it here, or that nothing can be called that."""
    if word == "is" and _STATED.search(before):
        return "it is written `name = value`"
    if word in _WORDS and (word not in _HEADS or not before.rpartition("\n")[2].strip()):
        return _WORDS[word]
    return f"`{word}` is a word of Python's, which a name cannot be" if word in kwlist and word not in _OURS else None


def slip(text: str, start: int, at: int, expected: Set[str]) -> tuple[str, str | None]:
    """A message of its own ("" for the usual one) and a hint for a mistake at an offset, in a statement from `start`.

    `expected` holds terminals, `top` or `field` where a declaration or a field of a recipe begins, and `braces` where
    nothing but they can follow.
    """
    before = text[start:at] if at - start < LONG else text[start : start + LONG // 2] + text[at - LONG // 2 : at]
    before = _COMMENTS.sub("", before)
    word = _WORD.match(text, at)
    python = _of_python(word[0], before) if word else None
    if python:
        return "", python
    meant = (
        _misspelt(before, word[0], expected) if word else misspelt_link(before) if text[at : at + 1] == "{" else None
    )
    if meant:
        return "", meant
    for found, here, earlier in _COMPILED:
        if (not found.expected or found.expected in expected) and here.match(text, at) and earlier.search(before):
            return found.message, found.hint
    return "", None


def misspelt_link(before: str) -> str | None:
    """`residual` where a word like it stands before braces."""
    last = None if re.search(_CALLED_LINK, before) else LINK.search(before)
    return did_you_mean(last[1], ("residual",)) if last and last[1] != "residual" else None


def _misspelt(before: str, word: str, expected: Set[str]) -> str | None:
    """The word that was meant by a misspelt one: the unit after a number, or the keyword that a statement begins
    with."""
    if "UNIT" in expected and before.endswith(" "):
        return _UNITS_ELSEWHERE.get(word.lower()) or did_you_mean(word, _UNITS)
    first = before.strip()
    known = _DECLARATIONS if "top" in expected else _ENTRIES if "field" in expected else _STATEMENTS
    if not first.isidentifier() or first in _NEEDLESS + _DECLARATIONS + _ENTRIES + _STATEMENTS:
        return None
    return did_you_mean(first, known)
