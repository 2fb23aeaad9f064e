"""One system for all modules: the one that the environment names, else a local runtime."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from sluice.local.tools import find_triton
from sluice.preparation.access import ADMIN
from sluice.preparation.secrets import load_or_create
from sluice.settings import BusSettings, StoreSettings, load_all
from tests.endtoend.system import System, connected, named_by_the_environment
from tests.services.line import Line, copy_manifests, needs_tools


@pytest.fixture(scope="package")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """With all that ships."""
    if named := named_by_the_environment():
        with connected(*named) as found:
            yield found
        return
    with local(Line(tmp_path_factory.mktemp("endtoend"), with_triton=True)) as found:
        yield found


@contextmanager
def local(line: Line) -> Iterator[System]:
    """The local runtime's, by what it says to its own parts."""
    needs_tools()
    if find_triton() is None:
        pytest.fail("Triton is missing") if os.environ.get("CI") else pytest.skip("needs Triton: make tools")
    copy_manifests(line, without=())
    try:
        line.start()
        runtime = line.runtime()
        environment = {**runtime["configmap"], **load_or_create(line.state / "secrets").part(ADMIN)}
        stored, messaged = load_all(StoreSettings, BusSettings, environ=environment)
        with connected(stored, messaged, runtime["endpoints"]["services"]["gateway"]) as found:
            yield found
    finally:
        line.stop()
