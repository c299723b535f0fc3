"""From a recipe to a run: a pure function of (spec, recipe, seed, data)."""
