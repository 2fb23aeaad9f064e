"""Real services as fixtures."""
