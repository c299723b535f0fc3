"""Rules that need more than one statement: expectations, unused blocks, recipes."""
