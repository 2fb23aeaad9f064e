"""Wants settings that nobody gave."""

from flask import Flask

from sluice.serving import part_app
from sluice.settings import ServingSettings, StoreSettings, load


def create_app() -> Flask:
    """Ends the process: the store's settings are required."""
    load(StoreSettings)
    return part_app("needy", load(ServingSettings))
