"""Moving live connections between loops; the public names are in :mod:`aioadapt`."""
