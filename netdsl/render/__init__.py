"""Values to text: diagnostics, summaries, tables. Colours only on a terminal."""
