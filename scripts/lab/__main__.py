"""`python -m lab` is `scripts/lan`."""

from lab.app import main

main()
