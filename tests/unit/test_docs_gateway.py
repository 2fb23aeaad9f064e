"""docs/gateway.md names every route of the gateway, and no other."""

import re
from pathlib import Path

from tests.viewers import Gateway

ROOT = Path(__file__).parent.parent.parent
ROUTE = re.compile(r"`(GET|POST|PUT|PATCH|DELETE) (/[^`]*)`")


def test_the_document_names_the_routes_that_are_there() -> None:
    """Method and path, as the app has them."""
    rules = Gateway().app.url_map.iter_rules()
    routes = {(method, rule.rule) for rule in rules for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}}

    named = set(ROUTE.findall((ROOT / "docs" / "gateway.md").read_text("utf-8")))

    assert named == routes
