# Nothing here is visible from Python.
