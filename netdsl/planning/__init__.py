"""The plan of a recipe, computed without torch."""
