"""The adaptive server, its worker processes, and its admin address."""
