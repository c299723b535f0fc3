"""Fixes: edits that fix a mistake. Each is tried on the text before it is offered."""
