"""One system for all modules: the one that the environment names, else a local runtime."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sluice.local.tools import find_triton
from sluice.preparation.access import ADMIN
from sluice.preparation.secrets import load_or_create
from tests.endtoend.system import ADDRESSES, System, connected, named_by_the_environment
from tests.services.line import Line, copy_manifests, needs_tools


@pytest.fixture(scope="package")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """With all that ships, and a Trigger to rehearse with."""
    home = tmp_path_factory.mktemp("home")
    if named := named_by_the_environment():
        with connected(named, home) as found:
            yield found
        return
    with local(Line(tmp_path_factory.mktemp("endtoend"), with_triton=True), home) as found:
        yield found


@contextmanager
def local(line: Line, home: Path) -> Iterator[System]:
    """The local runtime's, by what it says to its own parts."""
    needs_tools()
    if find_triton() is None:
        pytest.fail("Triton is missing") if os.environ.get("CI") else pytest.skip("needs Triton: make tools")
    copy_manifests(line, without=())
    shutil.copy(Path(__file__).parent / "rehearsal.yaml", line.manifests)
    try:
        line.start()
        runtime = line.runtime()
        endpoints = runtime["endpoints"]
        places = endpoints["services"]["gateway"], endpoints["workloads"]["segmenter"], endpoints["brokers"]["default"]
        admin = load_or_create(line.state / "secrets").part(ADMIN)
        with connected({**runtime["configmap"], **admin, **dict(zip(ADDRESSES, places, strict=True))}, home) as found:
            yield found
    finally:
        line.stop()
