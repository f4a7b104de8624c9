"""`python -m lucidnode` is the command line."""

from lucidnode.cli.app import main

main()
