"""The past of a project: which states it had, who made them, and how a part of one comes back."""
