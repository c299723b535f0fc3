"""Recipes: one schema of fields and components, checked before torch is loaded."""
