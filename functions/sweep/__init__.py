"""Announces again what a Trigger promises and no mark in the bucket shows."""
