"""The language server: what the command line knows of a spec, shown in an editor while it is typed."""
