"""The OpenAPI document, made of the routes that are there, their docstrings and the contracts of what they say."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

import msgspec
from flask import Blueprint, Flask, current_app, jsonify
from flask.typing import ResponseReturnValue
from werkzeug.routing import Rule

from functions.gateway.settings import Services

View = TypeVar("View", bound=Callable[..., Any])
_NOTES: Final = "__sluice_openapi__"
_PARAMETER: Final = re.compile(r"<(?:[^:<>]+:)?([^<>]+)>")
_COMPONENT: Final = "#/components/schemas/{name}"
_TEXT: Final = {"type": "string"}
_ERROR: Final = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {"type": "string", "description": "the reason, for people"},
        "problems": {
            "type": "array",
            "description": "what is wrong, field by field",
            "items": {"type": "object", "properties": dict.fromkeys(("field", "expected", "found"), _TEXT)},
        },
    },
}
_ABOUT: Final = (
    "Everything but health needs a token: `Authorization: Bearer <token>`, or /t/<token> before the path, for players "
    "and pages. A viewer reads, an admin also writes, each the cameras of its scope; what is not there and what is not "
    "yours are answered alike."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Notes:
    """What the signature of a view does not tell."""

    status: int = 200
    answer: Any = None
    """A contract, or a ready schema; None: see media."""
    media: str = "application/json"
    body: Any = None
    """A contract, or a ready schema, of what is sent."""
    query: Mapping[str, str] = field(default_factory=dict)
    """By parameter, one sentence each."""


def describe(**notes: Any) -> Callable[[View], View]:
    """Say of a view what Notes holds; put it below the route."""

    def noted(view: View) -> View:
        setattr(view, _NOTES, Notes(**notes))
        return view

    return noted


def blueprint(_services: Services) -> Blueprint:
    """One route; the document is made at its first request, when all others are there."""
    routes = Blueprint("openapi", __name__)
    made: dict[str, Any] = {}

    @routes.get("/api/openapi.json")
    def openapi() -> ResponseReturnValue:
        """This document."""
        if not made:
            made.update(document(current_app))
        return jsonify(made)

    return routes


def document(app: Flask) -> dict[str, Any]:
    """What the app can be asked."""
    rules = [rule for rule in app.url_map.iter_rules() if rule.endpoint != "static"]
    noted = {rule.endpoint: getattr(app.view_functions[rule.endpoint], _NOTES, Notes()) for rule in rules}
    contracts = [each for notes in noted.values() for each in (notes.answer, notes.body) if isinstance(each, type)]
    schemas, components = msgspec.json.schema_components(dict.fromkeys(contracts), ref_template=_COMPONENT)
    known = dict(zip(dict.fromkeys(contracts), schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for rule in sorted(rules, key=lambda rule: rule.rule):
        about = app.view_functions[rule.endpoint].__doc__ or ""
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
            operation = _operation(rule, about, noted[rule.endpoint], known)
            paths.setdefault(_PARAMETER.sub(r"{\1}", rule.rule), {})[method.lower()] = {
                "operationId": f"{method.lower()}-{rule.endpoint}",
                **operation,
            }
    return {
        "openapi": "3.1.0",
        "info": {"title": "Sluice gateway", "version": "1", "description": _ABOUT},
        "servers": [{"url": "/"}, {"url": "/t/{token}", "variables": {"token": {"default": "token"}}}],
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": {**components, "Error": _ERROR},
        },
    }


def _operation(rule: Rule, about: str, notes: Notes, known: Mapping[Any, Any]) -> dict[str, Any]:
    def shape(given: Any) -> dict[str, Any]:
        found: dict[str, Any] = known[given] if isinstance(given, type) else given
        return found

    path = [{"name": each, "in": "path", "required": True, "schema": _TEXT} for each in sorted(rule.arguments)]
    query = [{"name": name, "in": "query", "description": text, "schema": _TEXT} for name, text in notes.query.items()]
    media = {} if notes.status == 204 else {notes.media: {"schema": shape(notes.answer)} if notes.answer else {}}
    error = {
        "description": "why not",
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
    }
    operation: dict[str, Any] = {
        "summary": about.strip().partition("\n")[0],
        "parameters": [*path, *query],
        "responses": {str(notes.status): {"description": "done", "content": media}, "default": error},
    }
    if notes.body is not None:
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": shape(notes.body)}}}
    return operation
