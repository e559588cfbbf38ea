"""The controller: measures the load, chooses the engine and moves connections to it."""
