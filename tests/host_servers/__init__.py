"""Third-party servers and test tools, unchanged, on each loop."""
