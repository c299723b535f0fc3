"""What a recipe can say: one schema, checked before torch is loaded."""
