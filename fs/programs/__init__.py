"""Files of a project for programs that have no mount: over a Unix socket of the home."""
