"""It ends the program."""

raise SystemExit("usage: ...")
