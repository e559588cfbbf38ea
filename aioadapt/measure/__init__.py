"""Measures on this machine what a request costs on each engine."""
