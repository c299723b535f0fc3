"""Calls of elsewhere rewritten as pipelines of netdsl."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import chain, islice, product, takewhile

from msgspec.structs import fields

from netdsl.fixes.calls import Argument, Call, arguments, calls, closed, depth
from netdsl.fixes.habits import BINARY, COMPONENTS, JOINED, NEEDLESS_ARGUMENTS, habit_of, is_namespace
from netdsl.fixes.layers import layers
from netdsl.fixes.tensors import several
from netdsl.fixes.written import batchless, is_plain, listed, shown, value
from netdsl.fixes.written import call as written
from netdsl.ops import REGISTRY
from netdsl.recipe.aliases import ARGUMENTS, VALUES
from netdsl.recipe.names import component_names

TIMES = ("every", "at", "over", "first")
"""Arguments of schedules that are times."""

WHOLE = ("T_max", "total_steps", "decay_steps", "max_iters", "total_iters", "num_training_steps", "epochs")
"""What schedules are told of how long a run is."""

DEEPEST = 40
"""How deep brackets nest in what is rewritten."""

MOST = 8
"""How many ways of writing a call are tried."""

SEVERAL = frozenset((*JOINED.values(), *BINARY.values(), "attention", "cross_attention", "einsum"))
"""Ops that are given tensors."""

ATTENDING = frozenset(("multiheadattention", "selfattention", "attention", "crossattention", "mha"))
"""Layers that are told query, key and value, by their names in lower case without `_`."""

AUTOMATIC = ("ToTensor", "PILToTensor", "ToImage", "ToDtype", "ConvertImageDtype", "Normalize")
"""Transforms of elsewhere that happen here without being told."""

FLIPS = {"horizontal": "hflip", "vertical": "vflip"}
"""What Keras tells its one flip."""

BETAS = {"beta_1": 0, "beta_2": 1, "beta1": 0, "beta2": 1, "b1": 0, "b2": 1}
"""The decay rates of Adam by name elsewhere, and which of the two it is."""

_OPTIMIZED = re.compile(r"(?:self\.)?(?:optimi[sz]er|opt|params|parameters)|[\w.]*\bparameters\(\)")
"""What an optimizer and its schedule are given elsewhere: weights, and the optimizer."""

_SHARE = re.compile(r"0?\.\d+")
"""What a schedule multiplies by, and no time."""

_TARGETS = re.compile(r"^\s*\w+(?:\s*,\s*\w+)+(?=\s*=)")
"""The names of several values, at the beginning of a statement."""

NEEDLESS = ("contiguous", "clone", "cuda", "cpu", "to", "requires_grad_")
"""Methods that change nothing here: devices and memory are not the spec's."""


def rewritten(text: str, call: Call) -> Iterator[str]:
    """Rewrite a call of another library, the likeliest form first."""
    staged = text[: call.start].rstrip().endswith("->")
    ways = chain(_parted(text, call, staged), _staged(call) if staged else _rewritten(call))
    yield from islice(dict.fromkeys(w for w in ways if w != text[call.start : call.end]), MOST)


def _parted(text: str, call: Call, staged: bool) -> Iterator[str]:
    """`a, b = split(x, 2, dim=1)`: parts of a size, as many as there are names, or that number of parts."""
    receiver, _, name = call.name.rpartition(".")
    named = _TARGETS.search(text[: call.start].rpartition("\n")[2])
    if name != "split" or named is None:
        return
    given = list(call.given)
    if receiver and not is_namespace(receiver):
        lead = f"{receiver} -> "
    else:
        has_tensor = not staged and bool(given) and not given[0].name and not is_plain(given[0].text)
        lead = f"{given.pop(0).text} -> " if has_tensor else ""
    yield from (f"{lead}{way}" for way in _parts(given, named[0].count(",") + 1))


def _parts(given: list[Argument], count: int) -> Iterator[str]:
    """So many parts, of the size that `split` is given elsewhere, or of equal sizes."""
    names = ("size", "dim")
    own = {"split_size": "size", "split_size_or_sections": "size", "axis": "dim"}
    said = {own.get(a.name, a.name) or names[min(i, 1)]: a.text for i, a in enumerate(given)}
    size = said.get("size", "")
    axis = batchless(said.get("dim", "0"))
    if size.isdigit() and set(said) <= set(names):
        rest = f", axis={axis}" if axis not in (None, "0") else ""
        yield f"split(({', '.join([size] * count)}){rest})"
        yield from [f"chunk({count}{rest})"] * (int(size) == count)


def _staged(call: Call) -> Iterator[str]:
    """Rewrite a stage of a pipeline: the tensor is what flows in, so that none of its arguments is one."""
    receiver, _, name = call.name.rpartition(".")
    if not receiver or is_namespace(receiver):
        yield from layers(name, list(call.given))
    yield from _rewritten(call)


def applied(name: str, given: list[Argument], tensors: list[Argument]) -> Iterator[str]:
    """`Layer(arguments)(x)`, as in Keras: `x -> layer(arguments)`."""
    if _attends(name) and len(tensors) > 1:
        yield from _attending(name, given, tensors)
        return
    yield from several(name, [*tensors, *given])
    if len(tensors) == 1:
        yield from (f"{tensors[0].text} -> {w}" for w in layers(name, given, function=True))
        yield f"{tensors[0].text} -> {written(name, [shown(a) for a in given])}"


@lru_cache(1_000)
def whole(code: str) -> str:
    """An expression with all its calls of elsewhere rewritten, the first way each; one that nests deeper as it is.

    An outer call that has no way here asks for its inner ones, which are asked again by themselves: hence the cache.
    """
    if depth(code) > DEEPEST:
        return code
    found, last = "", 0
    for call in calls(code):
        then = closed(code, call.end) if code[call.end : call.end + 1] == "(" else None
        if call.start < last or (then is None and _is_native(call)):
            continue
        ways = _rewritten(call) if then is None else _on_tensors(code, call, then)
        way = next(ways, None)
        if way is not None:
            found += code[last : call.start] + way
            last = call.end if then is None else then + 1
    return found + code[last:]


def _on_tensors(code: str, call: Call, end: int) -> Iterator[str]:
    """A layer that is applied to tensors, in the brackets that close at `end`."""
    yield from applied(call.name.rpartition(".")[2], list(call.given), list(arguments(code, call.end + 1, end)))


def _is_native(call: Call) -> bool:
    """Whether a call is one of this language: a layer is given no tensor, as in `relu(x)`."""
    if call.name not in REGISTRY:
        return False
    bare = [a for a in call.given if not a.name]
    return call.name in SEVERAL or len(bare) <= REGISTRY[call.name].positional


def _rewritten(call: Call) -> Iterator[str]:
    receiver, _, name = call.name.rpartition(".")
    given = list(call.given)
    if receiver.split(".")[0] in ("self", "model"):
        yield from _own_call(call, name)
        if not any(is_plain(a.text) for a in given):  # a layer that `__init__` has made is given tensors alone
            return
        receiver = ""
    if receiver and not is_namespace(receiver):
        if name in NEEDLESS:
            yield receiver
        yield from several(name, [Argument("", receiver, 0, 0), *given])
        yield from (f"{receiver} -> {w}" for w in layers(name, given, function=True))
    elif _attends(name) and any(a.name in ("num_heads", "heads") for a in given) and len(_tensors(given)) > 1:
        yield from _attending(name, given[len(_tensors(given)) :], _tensors(given))
    else:
        yield from _free(name, given, bool(receiver))


def _free(name: str, given: list[Argument], spaced: bool) -> Iterator[str]:
    """A function or a layer that is no method; `spaced` where it is of a namespace."""
    yield from several(name, given)
    bare = bool(given) and not given[0].name
    takes_tensor = bare and not is_plain(given[0].text)
    if takes_tensor:
        yield from _class(name, given, spaced)
        yield from _function(name, given)
    if name.lower() in ("sequential", "modulelist"):
        yield from _sequence(listed(given))
    yield from layers(name, given, function=spaced)
    if bare and not takes_tensor:
        yield from _function(name, given)
    if spaced or name in COMPONENTS or name.lower() != name or any(a.name in ARGUMENTS for a in given):
        yield from _component(name, given)


def _needs(name: str) -> int:
    """How many arguments the layer has that a name of elsewhere stands for, of those that have to be given; at least
    two, since a single one may be the tensor."""
    habit = habit_of(name)
    count = sum(f.required for f in fields(REGISTRY[habit.op])) if habit is not None and habit.op in REGISTRY else 0
    return count if count > 1 else -1


def _tensors(given: list[Argument]) -> list[Argument]:
    """The first arguments that may be tensors: no numbers, no words, by position."""
    return list(takewhile(lambda a: not a.name and not is_plain(a.text), given))


def _attends(name: str) -> bool:
    return name.lower().replace("_", "") in ATTENDING


def _attending(name: str, given: list[Argument], tensors: list[Argument]) -> Iterator[str]:
    """Attention of a query to keys and values, which are one tensor here: perhaps the query itself."""
    query, *memory = dict.fromkeys(whole(t.text) for t in tensors)
    own = "attention" if name in REGISTRY else name
    for way in layers(own, given, function=True):
        if not memory:
            yield f"{query} -> {way}"
        elif len(memory) == 1 and way.startswith("attention("):
            yield f"{query} -> cross_{way[:-1]}, context={memory[0]})"


def _class(name: str, given: list[Argument], spaced: bool) -> Iterator[str]:
    """A layer that is made of a class, which is given sizes, whatever they are called."""
    if name[:1].isupper() or (not spaced and _needs(name) == len(given)):
        yield from layers(name, given, function=spaced)


def _sequence(items: list[str]) -> Iterator[str]:
    """Layers one after another; those of a list in a loop."""
    if len(items) == 1 and re.fullmatch(r"\*\w+", items[0]):
        yield f"for layer in {items[0][1:]} {{ layer }}"
    yield " -> ".join(map(whole, items))


def _own_call(call: Call, name: str) -> Iterator[str]:
    """`self.conv(x)`: `x -> conv`; `model.add(layer)`: the layer."""
    given = call.given
    if name in ("add", "append") and len(given) == 1:
        yield whole(given[0].text)
    if len(given) == 1 and not given[0].name:
        yield f"{whole(given[0].text)} -> {name}"
    if name in REGISTRY and given and is_plain(given[0].text):
        yield written(name, [shown(a) for a in given])


def _function(name: str, given: list[Argument]) -> Iterator[str]:
    """A layer applied to its first argument, as functions of elsewhere are: `F.relu(x)` is `x -> relu`."""
    flow = whole(given[0].text.removeprefix("self."))
    yield from (f"{flow} -> {w}" for w in layers(name, given[1:], function=True) if _takes_flow(w))


def _takes_flow(code: str) -> bool:
    """Whether a layer takes what flows in: `concat` takes its operands alone."""
    op = REGISTRY.get(re.split(r"\W", code)[0])
    return op is None or op.takes_it


def chained(items: Iterable[str]) -> str:
    """Components of elsewhere one after another, without those that happen by themselves here."""
    told = [item for item in items if item.partition("(")[0].rpartition(".")[2] not in AUTOMATIC]
    return " -> ".join(map(whole, told))


def _timed(said: str) -> str:
    """An argument of a schedule whose numbers count epochs elsewhere: `every=30 epochs`."""
    name = said.rpartition("=")[0]
    return said if name and name not in TIMES else re.sub(r"(?<![\w.])\d+\b(?!\.)", r"\g<0> epochs", said)


def _component(name: str, given: list[Argument]) -> Iterator[str]:
    """A component of a recipe, an optimizer, a phase, a loss, an augmentation, or a word of one: `torch.float16`."""
    yield from () if given else VALUES.get(name.lower().replace("_", ""), ())
    if name == "Compose":
        yield chained(listed(given))
    if name == "RandomFlip" and len(given) == 1:
        said = given[0].text.strip("\"'")
        yield " -> ".join(own for word, own in FLIPS.items() if word in said)
    given = _with_betas([a for a in given if a.name not in NEEDLESS_ARGUMENTS])
    known = component_names()
    for component, kept in product(dict.fromkeys((name.lower(), COMPONENTS.get(name, ""))), _kept(name, given)):
        if component in known:
            yield from _written(component, [_said(argument) for argument in kept])


def _kept(name: str, given: list[Argument]) -> Iterator[list[Argument]]:
    """The arguments that are kept: what an optimizer and its schedule are given elsewhere is left out, no number."""
    leads = bool(given) and not given[0].name
    if name == "step" and leads and _SHARE.fullmatch(given[0].text):
        yield [*given[1:], Argument("factor", given[0].text, 0, 0)]
    kept = [a for a in given if a.name or not _OPTIMIZED.fullmatch(a.text)]
    yield from (kept, [a for a in kept if a.name not in WHOLE])
    if leads and not is_plain(given[0].text):
        yield given[1:]


def _written(component: str, said: list[str]) -> Iterator[str]:
    """A component with its arguments as they are, and with times where they count epochs."""
    yield written(component, said)
    yield written(component, [_timed(part) for part in said])


def _said(argument: Argument) -> str:
    """An argument of a component under its name here."""
    name = ARGUMENTS.get(argument.name, argument.name)
    return f"{name}={value(argument.text)}" if name else argument.text


def _with_betas(given: list[Argument]) -> list[Argument]:
    """The two decay rates of Adam as one list."""
    betas = {BETAS[a.name]: a for a in given if a.name in BETAS}
    if not betas:
        return given
    said = [betas[i].text if i in betas else default for i, default in enumerate(("0.9", "0.999"))]
    kept = [a for a in given if a.name not in BETAS]
    return [*kept, Argument("betas", f"[{', '.join(said)}]", 0, 0)]
