"""Lints: what is legal and hardly meant, one rule a file. Each has a code in `netdsl.diagnostics.codes`."""
