"""What happened in a project, told from its journal: one event after the other, the same everywhere."""
