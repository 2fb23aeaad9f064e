"""The document says what the routes are, and no route is outside of it."""

import json
import re
from typing import Any

import pytest

from tests.viewers import Gateway


@pytest.fixture
def document() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Gateway().viewer().ask("/api/openapi.json").text)
    return found


def test_every_route_is_in_the_document_and_no_other(document: dict[str, Any]) -> None:
    """With each of its methods."""
    rules = list(Gateway().app.url_map.iter_rules())
    routes = {
        (re.sub(r"<(?:[^:<>]+:)?([^<>]+)>", r"{\1}", rule.rule), method.lower())
        for rule in rules
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }

    assert {(path, method) for path, item in document["paths"].items() for method in item} == routes


def test_every_operation_says_what_it_does_and_takes(document: dict[str, Any]) -> None:
    """A sentence, each variable of its path, an answer, and what an error looks like."""
    for path, item in document["paths"].items():
        for operation in item.values():
            named = {each["name"] for each in operation["parameters"] if each["in"] == "path"}
            assert named == set(re.findall(r"{(\w+)}", path)), path
            assert operation["summary"] or path.startswith(("/health", "/metrics")), path
            assert "default" in operation["responses"], path


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    """Contracts are in it whole."""
    references = set(re.findall(r'"\$ref": "#/components/schemas/([^"]+)"', json.dumps(document)))

    assert {"Camera", "Work", "Error"} <= references
    assert references <= set(document["components"]["schemas"])


def test_the_query_of_a_route_is_what_the_route_reads(document: dict[str, Any]) -> None:
    """What is documented is refused when it is nonsense; so it is read."""
    viewer = Gateway().viewer()
    [search] = [item["get"] for path, item in document["paths"].items() if path == "/api/events"]

    for name in {each["name"] for each in search["parameters"]} - {"label"}:
        assert viewer.ask(f"/api/events?{name}=%00").status_code == 400, name
