"""The adaptive server, and what lets people see into it."""
