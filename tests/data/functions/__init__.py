"""Functions that tests deploy."""
