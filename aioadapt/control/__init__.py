"""Watches the load, decides which engine serves it, and brings the connections there."""
