"""Cameras that push: let in by the front process, read by the worker that has the camera."""
