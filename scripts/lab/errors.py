"""What the lab says when it cannot go on.

LabError             one line for a person: what happened and what to do
└── CommandFailed    a program the lab ran ended badly; carries the end of what it said
"""

from __future__ import annotations


class LabError(Exception):
    """The lab cannot do what was asked; the message is for a person."""


class CommandFailed(LabError):
    """A program ended with an error, or did not become ready."""
