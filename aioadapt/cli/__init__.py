"""The commands of ``aioadapt``, each in one file or folder."""
