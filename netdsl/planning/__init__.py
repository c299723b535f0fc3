"""What a recipe will do, computed without torch."""
