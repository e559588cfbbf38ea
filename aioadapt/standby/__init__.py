"""Adapting with two loops on two threads: which one accepts, and who follows."""
