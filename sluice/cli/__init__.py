"""The `sluice` command: the composition root."""
