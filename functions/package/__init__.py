"""Lists each chunk in its camera's live playlist."""
