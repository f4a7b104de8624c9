"""A LAN on one machine: workstations, their office switch, and a cloud behind a slow link.

Driven by `scripts/lan`; `scripts/demo`, `scripts/bench` and the tests use the same class, Lab.
See docs/lab.md.
"""
