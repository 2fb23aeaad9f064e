"""The cluster that tests.cluster.deployed has put the line onto."""

import os
from pathlib import Path

import pytest

from tests.cluster import figures
from tests.cluster.kubernetes import Kubernetes
from tests.cluster.overlay import NAMESPACE


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Without a cluster there is nothing to collect: make test-cluster."""
    return None if os.environ.get(figures.BEGAN) else True


@pytest.fixture(scope="session")
def cluster() -> Kubernetes:
    """The line's namespace."""
    return Kubernetes(namespace=NAMESPACE)
