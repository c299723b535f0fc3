"""Names that a layer cannot have, because its module has something else under them."""

from __future__ import annotations

from keyword import iskeyword

RESERVED = frozenset((
    "T_destination", "add_module", "apply", "bfloat16", "buffers", "call_super_init", "children", "compile", "cpu",
    "cuda", "double", "dump_patches", "eval", "extra_repr", "float", "forward", "get_buffer", "get_extra_state",
    "get_parameter", "get_submodule", "half", "ipu", "load_state_dict", "modules", "mtia", "named_buffers",
    "named_children", "named_modules", "named_parameters", "parameters", "register_backward_hook", "register_buffer",
    "register_forward_hook", "register_forward_pre_hook", "register_full_backward_hook",
    "register_full_backward_pre_hook", "register_load_state_dict_post_hook", "register_load_state_dict_pre_hook",
    "register_module", "register_parameter", "register_state_dict_post_hook", "register_state_dict_pre_hook",
    "requires_grad_", "set_extra_state", "set_submodule", "share_memory", "state_dict", "to", "to_empty", "train",
    "training", "type", "xpu", "zero_grad",
))  # fmt: skip
"""Public attributes of `torch.nn.Module`; a test compares them with torch's."""
DICT = frozenset(("clear", "items", "keys", "pop", "update", "values"))
"""Further attributes of `nn.ModuleDict`, whose members are attributes too."""


def is_reserved(name: str) -> bool:
    """Whether a name is Python's or one of `nn.Module`'s; those that begin with `_` are torch's private ones."""
    return name in RESERVED or iskeyword(name) or name.startswith("_")


def bare(name: str, word: str) -> str:
    """A name without the `_` that it begins with: that word where nothing is left, before what begins with a digit."""
    name = name.lstrip("_") or word
    return name if name.isidentifier() else f"{word}{name}"


def free_name(name: str) -> str:
    """The nearest name that a layer can have."""
    name = bare(name, "layer")
    return f"{name}_" if is_reserved(name) else name
