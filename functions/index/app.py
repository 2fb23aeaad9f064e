"""Wire the indexer: `python -m sluice.serving functions.index.app`; a ping is all that its POST means."""

from typing import Any

from functions.index.handler import FUNCTION, index
from sluice import serving
from sluice.settings import ServingSettings, StoreSettings, load_all
from sluice.store import S3Store


def create_app() -> Any:
    """The Flask app that gunicorn serves; nothing is connected before the first ping."""
    stored, served = load_all(StoreSettings, ServingSettings)
    store = S3Store(stored)
    app = serving.part_app(FUNCTION, served, close=(store.close,))

    @app.post("/")
    def ping() -> tuple[str, int]:
        index(store=store)
        return "", 204

    return app
