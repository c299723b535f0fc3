"""How the nets of the zoo read as PyTorch, counted over all of them."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from paths import SPECS

from netdsl.backends.torch.naming import helper_names
from netdsl.backends.torch.source import emit
from netdsl.loader import load_source, read_import
from netdsl.pipeline import Spec

NUMBERED = {
    "Stage4": "the label `stage4` of GoogLeNet's spec",
    "C3": "the name of a layer in LeCun et al. (1998)",
}
"""The classes of the zoo with a number at their end, with the reason."""


@cache
def sources() -> dict[str, tuple[str, frozenset[str]]]:
    """The text of every net, and the names of the helpers in it."""
    found: dict[str, tuple[str, frozenset[str]]] = {}
    for path in sorted(SPECS.glob("*.net")):
        spec = Spec(load_source(path), read_import)
        for name in spec.nets:
            program = spec.net(name).program
            if program is not None:
                found[name] = emit(program, class_name=name), helper_names(program)
    return found


def texts() -> dict[str, str]:
    return {name: text for name, (text, _) in sources().items()}


@cache
def emitted() -> dict[str, ast.Module]:
    return {name: ast.parse(text) for name, text in texts().items()}


def classes(helpers: bool = False) -> Iterator[tuple[str, ast.ClassDef]]:
    """The classes of each net, with or without the helpers of its ops."""
    for net, tree in emitted().items():
        for item in tree.body:
            if isinstance(item, ast.ClassDef) and (helpers or item.name not in sources()[net][1]):
                yield net, item


def test_no_class_is_told_from_another_by_a_number() -> None:
    found = {c.name for net, c in classes() if c.name[-1].isdigit() and c.name != net}
    assert found == NUMBERED.keys()


def test_no_comment_names_what_its_class_does_not_have() -> None:
    for net, item in classes():
        doc = ast.get_docstring(item) or ""
        named = set(re.findall(r"`([A-Za-z_]\w*)`", doc))
        body = item.body[1:] if doc else item.body
        text = "\n".join(map(ast.unparse, body))
        assert all(re.search(rf"\b{name}\b", text) for name in named), (net, item.name, doc)


def test_methods_have_type_hints() -> None:
    for net, item in classes(helpers=True):
        for method in item.body:
            if isinstance(method, ast.FunctionDef):
                bare = [a.arg for a in method.args.args[1:] if a.annotation is None]
                assert not bare, (net, item.name, bare)


PARTED = {
    "LevelInnermost": "the end of a recursion whose other levels have six steps more",
    "StageShorter": "the stage of HRNet with one branch",
    "StageWithoutDown": "the stages of HRNet before which no branch is added",
    "DownWithoutAttend": "the last level of DDPM, which gives two values where the others give three",
    "UpWithAttend": "the levels of DDPM with three attentions",
    "ReductionWithEven": "NASNet's padding at stride 2, which depends on the image's size",
}
"""The classes that are told from another one of their block by a word, with the reason."""
WORD = re.compile(r"(Innermost|With[A-Z]\w+|Without[A-Z]\w+|Shorter\w*|Longer\w*|Alternative\w*)$")
WRAPPERS = {
    "Units": "a loop that has one round here",
    "LinearRegression": "a net of one layer",
    "Depthwise": "a block with a condition",
}
"""The classes that do nothing but call their only layer, with the reason."""
SAID = {
    "linear": ("nn.Linear",),
    "pwconv": ("nn.Conv",),
    "dwconv": ("nn.Conv",),
    "conv": ("nn.Conv", "StdConv"),
    "upconv": ("nn.ConvTranspose",),
    "bn": ("nn.BatchNorm",),
    "layernorm": ("nn.LayerNorm", "LayerNorm"),
    "dropout": ("nn.Dropout",),
}
"""What a layer is that is called so."""


def test_few_classes_are_parts_of_one_block() -> None:
    found = [f"{net}:{c.name}" for net, c in classes() if WORD.search(c.name)]
    assert {name.partition(":")[2] for name in found} <= PARTED.keys()
    assert len(found) <= 13


def test_no_class_only_calls_its_only_layer() -> None:
    found = {c.name for _, c in classes() if _is_wrapper(c)}
    assert found <= WRAPPERS.keys()


def _is_wrapper(item: ast.ClassDef) -> bool:
    (forward,) = (f for f in item.body if isinstance(f, ast.FunctionDef) and f.name == "forward")
    return bool(re.fullmatch(r"return self\.\w+\(\w+\)", ast.unparse(forward.body[-1]))) and len(forward.body) == 1


def test_names_say_what_a_layer_is() -> None:
    for net, item in classes():
        for node in ast.walk(item):
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
                name, layer = ast.unparse(node.targets[0]), ast.unparse(node.value.func)
                said = SAID.get(re.sub(r"^self\.|\d+$", "", name))
                assert said is None or layer.startswith(said), (net, item.name, name, layer)


def test_layers_in_turns_are_a_loop() -> None:
    for net, tree in emitted().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "nn.Sequential":
                members = [ast.unparse(a) for a in node.args]
                runs = [members[i : i + 4] for i in range(len(members) - 3)]
                assert not any(r[:2] == r[2:] and _is_one_class(r) for r in runs), (net, members)


def _is_one_class(members: list[str]) -> bool:
    """Whether calls are of one block, and differ in one argument."""
    first, second = (re.split(r"[(,] ?", m) for m in members[:2])
    return first[0] == second[0] and len(first) == len(second) and sum(map(str.__ne__, first, second)) == 1


def test_a_global_pool_is_one_member() -> None:
    assert not [net for net, text in texts().items() if "nn.Flatten()" in text and "AdaptiveAvgPool2d(1)" in text]


def test_helpers_have_the_options_that_are_used() -> None:
    """Every argument of a helper with a default is given by some use of it."""
    for net, tree in emitted().items():
        given = {(ast.unparse(n.func), k.arg) for n in ast.walk(tree) if isinstance(n, ast.Call) for k in n.keywords}
        for item in tree.body:
            if isinstance(item, ast.ClassDef) and item.name in HELPERS:
                (head,) = (f for f in item.body if isinstance(f, ast.FunctionDef) and f.name == "__init__")
                optional = head.args.args[len(head.args.args) - len(head.args.defaults) :]
                assert all((item.name, a.arg) in given for a in optional), (net, item.name)


HELPERS = ("Attention", "CrossAttention", "WindowBias", "DropPath")


def test_blocks_are_few() -> None:
    assert sum(1 for _ in classes()) <= 4 * len(texts())


def test_sources_are_short() -> None:
    assert not {name for name, text in texts().items() if len(text.encode()) > 15 * 1024}


def test_lines_fit_a_screen() -> None:
    long = {name: line for name, text in texts().items() for line in text.splitlines() if len(line) > 100}
    assert not long


REFORMATTED = {
    "LeNet5_1998": "a table of 840 numbers, one to a line",
    "SwinV2_T": "a method of a conditional expression",
}
"""The nets whose source a formatter changes, with what it changes."""
RULES = "E,F,W,I,B,A,UP,RET,SIM,C4,PIE,PLW,RUF"
"""The rules of ruff that no source breaks: among them unused and shadowed names, and idioms of old Pythons."""


def test_a_formatter_and_a_linter_have_nothing_to_say(tmp_path: Path) -> None:
    for name, text in texts().items():
        (tmp_path / f"{name}.py").write_text(text)
    ruff = (sys.executable, "-m", "ruff")
    options = ("--isolated", "--line-length", "100", "--target-version", "py311", "--no-cache")
    done = subprocess.run([*ruff, "format", "--check", *options, tmp_path], capture_output=True, text=True)
    assert set(re.findall(r"(\w+)\.py", done.stdout + done.stderr)) == REFORMATTED.keys()
    done = subprocess.run([*ruff, "check", "--select", RULES, *options, tmp_path], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_no_attribute_stands_for_a_layer_that_is_absent() -> None:
    """A layer that only some uses have is None in the others, as `self.downsample` of torchvision's ResNet."""
    assert not [name for name, text in texts().items() if "self.has_" in text]
    assert not [name for name, text in texts().items() if re.search(r"= \w+ or nn\.Identity\(\)", text)]
    assert not [name for name, text in texts().items() if re.search(r"\bhas_\w+\d\b", text)]


def test_slices_are_slices() -> None:
    assert not [name for name, text in texts().items() if ".narrow(" in re.sub(r"(?s)def center_crop.*?\n\n", "", text)]
