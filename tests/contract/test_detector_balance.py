"""Several Tritons behind one name share the work, and one that goes is no reason to stop."""

import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from sluice import inference
from sluice.errors import UnavailableError
from sluice.inference import TritonDetector
from sluice.local.program import free_port
from sluice.local.tools import INSTALL, find_triton
from sluice.local.triton import TritonPorts, assemble, forget_shared_memory, triton_program
from sluice.settings import DetectorSettings
from tests.services.line import eventually
from tests.services.server import needed
from tests.services.triton import TritonServer

pytestmark = pytest.mark.triton
FRAMES = np.zeros((1, 32, 32, 3), np.uint8)


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[TritonServer, TritonServer]]:
    """Two servers of the one model that needs no weights."""
    home = needed(find_triton(), f"Triton is not on this machine: {INSTALL}")
    none = tmp_path / "none.toml"
    none.touch()
    servers, repositories = [], []
    for name in ("one", "two"):
        repository = tmp_path / name
        assemble(repository, models=Path(tmp_path / "models"), catalogue=none, added=only_squares(tmp_path))
        ports = TritonPorts(http=free_port(), grpc=free_port(), metrics=free_port())
        log = tmp_path / f"{name}.log"
        servers.append(TritonServer(triton_program(home=home, repository=repository, ports=ports, log=log), ports))
        repositories.append(repository)
    try:
        for server in servers:
            server.start()
        yield servers[0], servers[1]
    finally:
        for server, repository in zip(servers, repositories, strict=True):
            server.kill()
            forget_shared_memory(repository)


def only_squares(folder: Path) -> Path:
    """A folder of models that has just that."""
    from sluice.local.triton import MODELS

    place = folder / "some"
    place.mkdir(exist_ok=True)
    if not (place / "squares").exists():
        (place / "squares").symlink_to(MODELS / "squares")
    return place


def answered(server: TritonServer) -> int:
    """How many frames it has looked at."""
    with urllib.request.urlopen(f"http://127.0.0.1:{server.ports.metrics}/metrics", timeout=5) as answer:
        lines = answer.read().decode().splitlines()
    return sum(int(float(line.rpartition(" ")[2])) for line in lines if line.startswith("nv_inference_count{"))


def all_told(pair: tuple[TritonServer, TritonServer], frames: int) -> list[int] | None:
    """How many each has looked at, once they tell of all *frames*."""
    told = [answered(server) for server in pair]
    return told if sum(told) == frames else None


def both(pair: tuple[TritonServer, TritonServer]) -> TritonDetector:
    """A detector with one name for two addresses, as a headless Service gives it."""
    addresses = ",".join(server.url for server in pair)
    return TritonDetector(DetectorSettings(url=f"ipv4:{addresses}", timeout_s=5))


def test_servers_are_asked_in_turn(pair: tuple[TritonServer, TritonServer]) -> None:
    """A second replica takes about half of the frames."""
    detector = both(pair)
    asked = 1 + sum(answered(server) for server in pair)
    detector.detect("squares", FRAMES)
    # Its metrics tell of an inference a moment after the answer.
    before = eventually("both tell of all", lambda: all_told(pair, asked))

    for _ in range(20):
        detector.detect("squares", FRAMES)

    after = eventually("both tell of all, and of no more", lambda: all_told(pair, asked + 20))
    shares = [now - count for now, count in zip(after, before, strict=True)]
    detector.close()
    assert min(shares) >= 5


def test_one_that_goes_leaves_the_work_to_the_other(pair: tuple[TritonServer, TritonServer]) -> None:
    """What was on its way to it may fail once and is asked again by the Broker; then everything succeeds."""
    detector = both(pair)
    for _ in range(4):
        detector.detect("squares", FRAMES)

    pair[0].kill()

    failures = 0
    for _ in range(20):
        try:
            detector.detect("squares", FRAMES)
        except UnavailableError:
            failures += 1
    detector.close()
    assert failures <= 2


def test_a_server_that_was_added_is_found(
    pair: tuple[TritonServer, TritonServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With each new description comes a new connection, which looks the name up again."""
    monkeypatch.setattr(inference, "DESCRIPTION_S", 0.0)
    detector = TritonDetector(DetectorSettings(url=pair[0].url, timeout_s=5))
    detector.detect("squares", FRAMES)
    first = detector._client

    detector.detect("squares", FRAMES)

    assert detector._client is not first
    detector.close()
