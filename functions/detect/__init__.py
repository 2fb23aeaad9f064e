"""Looks at frames of each chunk with the camera's models."""
