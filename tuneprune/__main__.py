"""``python -m tuneprune`` is the command line."""

from tuneprune.cli import main

main()
