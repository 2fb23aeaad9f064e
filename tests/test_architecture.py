"""Imports point one way, each library has one importer a part, and nothing grows out of sight."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PARTS = ("sluice", "segmenter", "triggers", "functions")
SOURCES = sorted(path for part in PARTS for path in (ROOT / part).rglob("*.py"))
MAX_LINES = 250
MAX_FUNCTION_LINES = 40
BANNED_NAMES = {"utils", "helpers", "common", "misc", "base", "manager"}

IMPORTERS = {
    "Crypto": {"sluice/preparation/readers.py"},
    "aiohttp": {"sluice/local"},
    "av": {"sluice/models/image.py", "sluice/video.py", "sluice/picture.py", "sluice/frames.py", "segmenter"},
    "boto3": set[str](),
    "cloudevents": {"sluice/events.py"},
    "cronsim": {"sluice/local"},
    "flask": {"sluice/serving.py", "triggers/bridge", "functions/gateway"},
    "gunicorn": {"sluice/serving.py", "sluice/lingering.py"},
    "minio": {"sluice/s3", "sluice/preparation"},
    "onnx": {"sluice/models"},
    "nats": {"sluice/jetstream", "sluice/local"},
    "prometheus_client": {"sluice/telemetry.py"},
    "tritonclient": {"sluice/inference.py", "sluice/models/server.py"},
    "yaml": {"functions/sweep", "sluice/local", "sluice/cli/camera_file.py"},
}
"""Who may import a library: a file, or a folder. boto3 is the tests' foreign client only (docs/adr/0002)."""

ENVIRONMENT_READERS = {"sluice/settings.py", "sluice/local"}
"""The local runtime hands an environment on to what it starts."""


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def is_one_of(name: str, places: set[str]) -> bool:
    return any(name == place or name.startswith(f"{place}/") for place in places)


def part_of(name: str) -> str:
    """The unit that must not know the others: sluice, segmenter, triggers.bridge, functions.<name>."""
    pieces = name.removesuffix(".py").replace("/", ".").split(".")
    return ".".join(pieces[:2]) if pieces[0] in ("triggers", "functions") else pieces[0]


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_parts_meet_in_contracts_only(path: Path) -> None:
    """Sluice imports no part; a part imports sluice and itself."""
    mine = part_of(name_of(path))
    theirs = {part_of(name) for name in imports(path) if name.split(".")[0] in PARTS}

    assert theirs <= {mine, "sluice"}


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_a_library_has_one_importer_a_part(path: Path) -> None:
    """Replacing a library touches one place."""
    used = {name.split(".")[0] for name in imports(path)} & set(IMPORTERS)
    strangers = {library for library in used if not is_one_of(name_of(path), IMPORTERS[library])}

    assert not strangers


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_only_settings_read_the_environment(path: Path) -> None:
    """Nothing else depends on who started the process."""
    nodes = [node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Attribute)]
    # request.environ is what a web server says of a request.
    reads = any(node.attr in ("environ", "getenv") and ast.unparse(node.value) != "request" for node in nodes)

    assert not reads or is_one_of(name_of(path), ENVIRONMENT_READERS)


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_a_file_holds_one_thing(path: Path) -> None:
    """Short files, functions that fit a screen, names from the domain."""
    text = path.read_text("utf-8")
    long = {
        node.name
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or 0) - node.lineno + 1 > MAX_FUNCTION_LINES
    }

    assert len(text.splitlines()) <= MAX_LINES
    assert not long
    assert path.stem not in BANNED_NAMES


def test_every_listed_importer_is_there() -> None:
    """The table above does not outlive the code."""
    places = {place for allowed in IMPORTERS.values() for place in allowed}

    assert {place for place in places if not (ROOT / place).exists()} == set()
