"""Marks of the arguments that name files, `Meta(extra=...)`: relative to the spec, or to where one stands and types."""

from __future__ import annotations

A_PATH = {"path": "always"}
PERHAPS_A_PATH = {"path": "if it exists"}
