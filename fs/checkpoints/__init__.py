"""Checkpoints: the state at an entry as blocks, made, checked and loaded (docs/design/0013-checkpoints.md)."""
