"""Models and references for tests."""
