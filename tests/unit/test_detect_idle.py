"""Idle cameras cost no detection, unless the operator takes the component that removes the filter."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from sluice.contracts.chunk import ChunkStored
from sluice.filters import passes

ROOT = Path(__file__).parent.parent.parent
TRIGGER = yaml.safe_load((ROOT / "triggers" / "chunk-stored-to-detect.yaml").read_text("utf-8"))
COMPONENT = yaml.safe_load(
    (ROOT / "infra" / "knative" / "components" / "detect-idle" / "kustomization.yaml").read_text("utf-8")
)


def event(activity: str) -> dict[str, str]:
    return {"type": ChunkStored.TYPE, "activity": activity, "subject": "gate"}


def patched(document: Any, operations: list[dict[str, Any]]) -> Any:
    """JSON Patch (RFC 6902), as far as it is used here."""
    for operation in operations:
        *way, last = operation["path"].strip("/").split("/")
        holder = document
        for step in way:
            holder = holder[int(step)] if isinstance(holder, list) else holder[step]
        key = int(last) if isinstance(holder, list) else last
        match operation["op"]:
            case "test":
                assert holder[key] == operation["value"]
            case "remove":
                del holder[key]
    return document


@pytest.mark.parametrize(
    ("activity", "wanted"), [("active", True), ("unknown", True), ("opening", True), ("idle", False)]
)
def test_only_idle_chunks_are_left_out(activity: str, wanted: bool) -> None:
    """Who is not known to be idle is looked at."""
    assert passes(TRIGGER["spec"]["filters"], event(activity)) is wanted


def test_the_component_lets_idle_chunks_through_and_nothing_else() -> None:
    """It names the filter that it removes, so that it fails if that moves."""
    [patch] = COMPONENT["patches"]
    assert patch["target"] == {"kind": "Trigger", "name": TRIGGER["metadata"]["name"]}

    changed = patched(yaml.safe_load(yaml.safe_dump(TRIGGER)), yaml.safe_load(patch["patch"]))

    assert passes(changed["spec"]["filters"], event("idle"))
    assert not passes(changed["spec"]["filters"], {**event("idle"), "type": "dev.sluice.objects.detected.v1"})
