"""On real services."""
