"""The command line: parses, asks the planes, prints. Holds no logic."""
