"""The table of diagnostic codes. `netdsl explain CODE` and the pages of `docs/errors` show it."""

from netdsl.diagnostics.codes.code import Code
from netdsl.diagnostics.codes.data import DATA
from netdsl.diagnostics.codes.experiments import EXPERIMENTS
from netdsl.diagnostics.codes.files import FILES
from netdsl.diagnostics.codes.language import LANGUAGE
from netdsl.diagnostics.codes.layers import LAYERS
from netdsl.diagnostics.codes.lints import LINTS
from netdsl.diagnostics.codes.plugins import PLUGINS
from netdsl.diagnostics.codes.recipe_lints import RECIPE_LINTS
from netdsl.diagnostics.codes.recipes import RECIPES
from netdsl.diagnostics.codes.runs import RUNS
from netdsl.diagnostics.codes.weights import WEIGHTS

TABLE: dict[str, Code] = {
    code.name: code
    for code in (
        *LANGUAGE, *LAYERS, *RECIPES, *EXPERIMENTS, *FILES, *DATA, *RUNS, *PLUGINS, *WEIGHTS, *LINTS, *RECIPE_LINTS,
    )
}  # fmt: skip
"""Every code by its name."""
