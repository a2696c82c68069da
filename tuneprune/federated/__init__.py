"""Federated adaptation to another domain: clients of one corpus, simulated, and their server."""
