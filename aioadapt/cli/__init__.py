"""The commands of ``python -m aioadapt``: one file, or one folder, each."""
