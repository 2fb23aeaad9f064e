"""The line that tests.cluster.deployed has put onto a cluster, from inside and from outside."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster import figures
from tests.cluster.kubernetes import Kubernetes
from tests.cluster.overlay import NAMESPACE
from tests.endtoend.system import System, connected, named_by_the_environment

ORDER = ("arrival", "manifests", "delivery", "warm", "rolling", "faults", "", "scaling")
"""Modules of this folder: the first finds all as `kubectl apply -k` left it, the last needs quiet. "": others."""


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Without a cluster there is nothing to collect: make test-cluster."""
    return None if os.environ.get(figures.BEGAN) else True


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the modules in order."""
    items.sort(key=lambda item: ORDER.index(_module(item)))


def _module(item: pytest.Item) -> str:
    return item.path.stem.removeprefix("test_") if item.path.parent == Path(__file__).parent else ""


@pytest.fixture(scope="session")
def cluster() -> Kubernetes:
    """The line's namespace."""
    return Kubernetes(namespace=NAMESPACE)


@pytest.fixture(scope="session")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """The line as its users see it."""
    named = named_by_the_environment()
    assert named
    with connected(named, tmp_path_factory.mktemp("home")) as found:
        yield found
