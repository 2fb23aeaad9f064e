"""Bridges with a fault, for tests that start them as processes."""
