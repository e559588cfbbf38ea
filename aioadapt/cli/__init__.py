"""The commands of ``aioadapt``: one file, or one folder, each."""
