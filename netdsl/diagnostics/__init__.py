"""What is wrong with a spec, as values, and the table of codes."""
