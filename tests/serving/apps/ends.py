"""Importing it ends the program."""

raise SystemExit("usage: ...")
