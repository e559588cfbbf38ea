"""Measuring on this machine: what each engine costs, and what adapting is worth."""
