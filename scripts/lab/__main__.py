"""`python -m lab`: the command `scripts/lan`."""

from lab.app import main

main()
