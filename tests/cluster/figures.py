"""What was measured on the cluster, line by line, for docs/operations.md."""

import os
import platform
from datetime import UTC, datetime
from pathlib import Path

from tests.cluster.images import ROOT

BEGAN = "SLUICE_TESTS_APPLIED_AT"
FILE = "SLUICE_TESTS_FIGURES"


def place() -> Path:
    """A fresh file, with the date and the machine."""
    path = ROOT / "build" / "cluster-figures.md"
    path.parent.mkdir(exist_ok=True)
    today, cores = datetime.now(UTC).date(), os.cpu_count()
    path.write_text(f"{today}, {cores} cores, {platform.machine()}\n\n| figure | value |\n| --- | --- |\n", "utf-8")
    return path


def tell(what: str, value: str) -> None:
    """Write it down, and show it."""
    with Path(os.environ[FILE]).open("a", encoding="utf-8") as file:
        file.write(f"| {what} | {value} |\n")
    print(f"\n{what}: {value}", flush=True)


def told() -> str:
    """All of it."""
    return (ROOT / "build" / "cluster-figures.md").read_text("utf-8")


def began() -> float:
    """When the overlay was applied, in Unix seconds."""
    return float(os.environ[BEGAN])
