"""`python -m wattle.cli`."""

from wattle.cli import main

main()
