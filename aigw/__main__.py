"""`python -m aigw` is the command `aigw`."""

from aigw.cli import main

main()
