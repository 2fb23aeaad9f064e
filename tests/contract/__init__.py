"""Fake and real adapter, one test class."""
