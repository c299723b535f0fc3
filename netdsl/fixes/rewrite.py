"""Calls of elsewhere rewritten as pipelines of netdsl."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice

from msgspec.structs import fields

from netdsl.fixes.calls import Argument, Call, calls, parts
from netdsl.fixes.habits import BINARY, COMPONENTS, HABITS, JOINED, NAMESPACES, Habit
from netdsl.ops import REGISTRY
from netdsl.recipe.aliases import ARGUMENTS

MOST = 8
"""How many ways of writing a call are tried."""


def rewritten(text: str, call: Call) -> Iterator[str]:
    """What a call may be here, the likeliest first."""
    yield from islice(dict.fromkeys(w for w in _rewritten(call) if w != text[call.start : call.end]), MOST)


def whole(code: str) -> str:
    """An expression with all its calls of elsewhere rewritten, the first way each."""
    found, last = "", 0
    for call in calls(code):
        if call.start >= last and (first := next(_rewritten(call), None)) is not None:
            found += code[last : call.start] + first
            last = call.end
    return found + code[last:]


def _rewritten(call: Call) -> Iterator[str]:
    receiver, _, name = call.name.rpartition(".")
    given = list(call.given)
    if receiver in ("self", "model"):
        receiver = ""
        yield from _own_call(call, name)
    if receiver and receiver not in NAMESPACES:
        flow = receiver.removeprefix("self.")
        yield from (f"{flow} -> {w}" for w in _layers(name, given, receiver))
        return
    yield from _several(name, given)
    function = given and not given[0].name and not _is_plain(given[0].text)
    if function:
        yield from _applied(name, given, receiver)
    if name in ("Sequential", "ModuleList"):
        items = given
        if len(given) == 1 and given[0].text.startswith("["):
            items = _items(given[0].text)
        yield " -> ".join(whole(item.text) for item in items)
    yield from _layers(name, given, receiver)
    if given and not given[0].name and not function:
        yield from _applied(name, given, receiver)
    if name in COMPONENTS or name.lower() != name or any(a.name in ARGUMENTS for a in given):
        yield from _component(name, given)


def _component(name: str, given: list[Argument]) -> Iterator[str]:
    """A component of a recipe: an optimizer, a phase, a loss, an augmentation."""
    shown = [f"{ARGUMENTS.get(a.name, a.name)}={_value(a.text)}" if a.name else a.text for a in given]
    for own in (name.lower(), COMPONENTS.get(name, name.lower())):
        yield f"{own}({', '.join(shown)})" if shown else own
        bare = [a.text for a in given]
        yield f"{own}({', '.join(bare)})" if shown else own
        if given and not given[0].name:
            yield f"{own}({', '.join(shown[1:])})" if shown[1:] else own


def _applied(name: str, given: list[Argument], receiver: str) -> Iterator[str]:
    """A layer applied to its first argument, as functions of elsewhere are: `F.relu(x)` is `x -> relu`."""
    flow = whole(given[0].text.removeprefix("self."))
    yield from (f"{flow} -> {w}" for w in _layers(name, given[1:], receiver, function=True))


def _is_plain(text: str) -> bool:
    """Whether a value is written out: a number, a word, a list or a tuple of such."""
    return re.fullmatch(r"[\[(]*[-\d\"'].*|[Tt]rue|[Ff]alse|[Nn]one", text, re.DOTALL) is not None


def _own_call(call: Call, name: str) -> Iterator[str]:
    """`self.conv(x)`: `x -> conv`, or `conv(x)` as it stands."""
    given = call.given
    if len(given) == 1 and not given[0].name:
        yield f"{whole(given[0].text)} -> {name}"
    if call.arguments is None:
        yield name
    elif name in REGISTRY and given and _is_plain(given[0].text):
        yield f"{name}({', '.join(_shown(a) for a in given)})"


def _several(name: str, given: list[Argument]) -> Iterator[str]:
    """Functions of several tensors."""
    if name in JOINED and given:
        listed = given[0].text.startswith(("[", "("))
        tensors = [a.text for a in _items(given[0].text)] if listed else [a.text for a in given if not a.name]
        axis = next((_batchless(a.text) for a in given if a.name in ("dim", "axis")), None)
        if axis is None and listed and len(given) > 1 and not given[1].name:
            axis = _batchless(given[1].text)
        tensors = [whole(t) for t in tensors]
        kept = next((a.text for a in given if a.name in ("dim", "axis")), None)
        for chosen in (axis, kept):
            shown = f", axis={chosen}" if chosen not in (None, "0") else ""
            yield f"{JOINED[name]}({', '.join(tensors)}{shown})"
    if name == "stack" and given and given[0].text.startswith(("[", "(")):
        tensors = [a.text for a in _items(given[0].text)]
        axis = next((_batchless(a.text) or "0" for a in given[1:]), "0")
        joined = f", axis={axis}" if axis != "0" else ""
        yield f"concat({', '.join(f'{t} -> unsqueeze(axis={axis})' for t in tensors)}{joined})"
    if name in BINARY and given:
        listed = len(given) == 1 and given[0].text.startswith(("[", "("))
        tensors = [a.text for a in (_items(given[0].text) if listed else given)]
        yield f"{BINARY[name]}({', '.join(tensors)})"
    if name in ("randn", "rand", "zeros", "ones", "Parameter"):
        init = {"zeros": ", init=zeros", "ones": ", init=ones"}.get(name, "")
        sizes = [a.text for a in (_items(given[0].text) if len(given) == 1 and given[0].text[:1] in "([" else given)]
        for shape in (sizes, sizes[1:]):
            if shape:
                yield f"param(({', '.join(shape)}{',' if len(shape) == 1 else ''}){init})"
        yield from (f"param{a.text[a.text.find('(') :]}" for a in given if "(" in a.text)


def _layers(name: str, given: list[Argument], receiver: str, function: bool = False) -> Iterator[str]:
    """A layer of elsewhere with these arguments."""
    if name in ("Activation", "activation") and len(given) == 1:
        yield given[0].text.strip("\"'").lower()
    yield from _shaped(name, given)
    habit = HABITS.get(name)
    if habit is not None:
        if name == "mean" and _is_global(given):
            yield "gap"
        if name in REGISTRY and not receiver:
            yield from _renamed(name, habit, given)
        yield from _called(habit, given)
        if habit.op == "upsample" and given and not given[0].name:
            yield from _called(habit, [Argument("scale_factor", given[0].text, 0, 0), *given[1:]])
    elif name in REGISTRY and (function or receiver):
        yield f"{name}({', '.join(_shown(a) for a in given)})" if given else name


def _renamed(name: str, habit: Habit, given: list[Argument]) -> Iterator[str]:
    """A layer of ours with its arguments in our order, their names and values as they are written here."""
    names = {_plain(n): n for n in habit.arguments.split()}
    own = [f.name for f in fields(REGISTRY[name])]
    shown: list[str] = []
    after = ""
    for argument in given:
        entry = names.get(argument.name, argument.name)
        if argument.name in own or not argument.name:
            shown.append(_shown(argument))
        elif entry.endswith("!"):
            after = f" -> {_word(argument.text)}"
        elif not entry.startswith("-"):
            value = _batchless(argument.text) if entry.startswith("@") else _value(argument.text)
            target = entry.lstrip("@").partition(">")[2] or entry.lstrip("@")
            shown += [f"{target}={value}"] if value is not None else []
    if all(a.name for a in given):
        yield _written(name, own, dict(s.split("=", 1) for s in shown)) + after
    elif any(a.name for a in given):
        yield f"{name}({', '.join(shown)}){after}"


def _word(text: str) -> str:
    return text.strip("\"'").lower().rpartition(".")[2]


def _is_global(given: list[Argument]) -> bool:
    axes = {re.sub(r"\s", "", a.text.strip("[]()")) for a in given}
    return not given or bool(axes & {"2,3", "-2,-1", "-1,-2", "1,2"})


def _shaped(name: str, given: list[Argument]) -> Iterator[str]:
    """Reshapes and exchanges of axes."""
    values = [a.text for a in given if not a.name or a.name in ("dim0", "dim1", "dims", "shape")]
    if len(values) == 1 and values[0][:1] in "([":
        values = [a.text for a in _items(values[0])]
    if name in ("view", "reshape", "Reshape") and values:
        if values[-1] == "-1" and len(values) <= 2:
            yield "flatten"
        yield f"reshape({_tuple(values[1:])})" if len(values) > 1 else "flatten"
        yield f"reshape({_tuple(values)})"
        if values[0] == "-1" or len(values) == 2:
            yield "flatten"
    if name in ("transpose", "swapaxes", "Permute", "permute", "movedim") and all(
        v.lstrip("-").isdigit() for v in values
    ):
        yield from _permuted(name, [int(v) for v in values])
    if name in ("rearrange", "reduce") and given:
        yield from _einops(given[0].text if len(given) == 1 else given[-1].text)
    if name == "size" or name == "shape":
        return


def _permuted(name: str, axes: list[int]) -> Iterator[str]:
    if name in ("permute", "Permute"):
        kept = [a - 1 for a in axes if a != 0]
        yield f"permute({_tuple([str(a) for a in kept])})"
        yield f"permute({_tuple([str(a) for a in axes])})"
        return
    if len(axes) != 2:
        return
    for rank in (2, 3, 4, 1):
        for shift in (1, 0):
            order = list(range(rank))
            a, b = (x - shift if x >= 0 else rank + x for x in axes)
            if 0 <= a < rank and 0 <= b < rank:
                order[a], order[b] = order[b], order[a]
                yield f"permute({_tuple([str(x) for x in order])})"


_EINOPS = {
    "b c h w -> b (h w) c": "flatten(start=1) -> permute((1, 0))",
    "b c h w -> b c (h w)": "flatten(start=1)",
    "b c h w -> b h w c": "permute((1, 2, 0))",
    "b h w c -> b c h w": "permute((2, 0, 1))",
    "b n c -> b c n": "permute((1, 0))",
    "b c h w -> b (c h w)": "flatten",
    "b c h w -> b c": "gap",
}


def _einops(pattern: str) -> Iterator[str]:
    plain = " ".join(pattern.strip("\"'").split())
    if plain in _EINOPS:
        yield _EINOPS[plain]


def _called(habit: Habit, given: list[Argument]) -> Iterator[str]:
    """The call of an op with arguments of elsewhere; nothing where one has no name here."""
    listed = habit.arguments.split()
    names = {_plain(n): n for n in listed}
    own = [f.name for f in fields(REGISTRY[habit.op])]
    said: dict[str, str] = {}
    after = ""
    order = iter(n for n in listed)
    for argument in given:
        entry = names.get(argument.name) if argument.name else next(order, None)
        if entry is None and argument.name in own:
            entry = argument.name
        if entry is None:
            return
        if entry.startswith("-"):
            if not argument.name and not _is_plain(argument.text) and entry == "-inplace":
                return
            continue
        if entry.endswith("!"):
            after = f" -> {_word(argument.text)}"
            continue
        value = _batchless(argument.text) if entry.startswith("@") else _value(argument.text)
        target = entry.lstrip("@").partition(">")[2] or entry.lstrip("@")
        if value is None or (target == "start" and value == "0"):
            continue
        if target not in own:
            return
        said[target] = value
    yield _written(habit.op, own, said) + after


def _plain(entry: str) -> str:
    return entry.lstrip("-@").partition(">")[0].rstrip("!")


def _written(op: str, own: list[str], said: dict[str, str]) -> str:
    said = {k: v for k, v in said.items() if not (k == "padding_mode" and v == "zeros")}
    leading = own[: REGISTRY[op].positional]
    bare = []
    for name in leading:
        if name not in said:
            break
        bare.append(said[name])
    rest = [f"{n}={said[n]}" for n in own if n in said and n not in leading[: len(bare)]]
    return f"{op}({', '.join([*bare, *rest])})" if said else op


def _value(text: str) -> str:
    """A value as it is written here: words without quotes, the literals in small letters."""
    if text in ("True", "False", "None"):
        return text.lower()
    if text[:1] in "\"'":
        word = text.strip("\"'").lower()
        return {"valid": "0"}.get(word, word)
    if text.startswith("[") and text.endswith("]"):
        return f"({text[1:-1]})"
    return text


def _batchless(text: str) -> str | None:
    """An axis, or axes, counted without the batch; None for the batch itself."""
    numbers = re.findall(r"-?\d+", text)
    if not numbers or re.sub(r"[\[\](),\s\d-]", "", text):
        return text
    shifted = [str(int(n) - 1) if int(n) > 0 else n for n in numbers if n != "0"]
    if text[:1] in "([":
        return _tuple(shifted)
    return shifted[0] if shifted else None


def _items(text: str) -> list[Argument]:
    return [Argument("", text[a:b].strip(), a, b) for a, b in parts(text, 1, len(text) - 1, ",")]


def _tuple(values: list[str]) -> str:
    return f"({', '.join(values)}{',' if len(values) == 1 else ''})"


def _shown(argument: Argument) -> str:
    value = _value(argument.text)
    return f"{argument.name}={value}" if argument.name else value
