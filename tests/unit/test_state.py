"""The state folder of a runtime: its ports."""

import gc
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from sluice.local.program import CLAIMS, free_port
from sluice.local.state import State


def a_port_that_nobody_claims() -> int:
    """Free, and none of those that this process or another was given before."""
    while True:
        with socket.create_server(("127.0.0.1", 0)) as server:
            port: int = server.getsockname()[1]
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as claim, suppress(OSError):
            claim.bind(f"\0sluice-port-{port}")
            return port


CLAIMANT = """
import sys, time
from pathlib import Path
from sluice.local.state import State
print(State(Path(sys.argv[1])).port("rtmp", wanted=int(sys.argv[2])), flush=True)
time.sleep(600)
"""


def test_two_runtimes_that_start_at_once_want_one_port_and_get_two(tmp_path: Path) -> None:
    """Though no server listens yet; whoever is killed leaves it to others."""
    wanted = a_port_that_nobody_claims()
    command = [sys.executable, "-c", CLAIMANT, str(tmp_path / "one"), str(wanted)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as one:
        assert one.stdout
        claimed = int(one.stdout.readline())
        while_it_lives = State(tmp_path / "two").port("rtmp", wanted=wanted)
        one.kill()
    afterwards = State(tmp_path / "three").port("rtmp", wanted=wanted)

    assert (claimed, afterwards) == (wanted, wanted)
    assert while_it_lives != wanted


def test_a_port_is_the_same_each_time_it_is_asked_for(tmp_path: Path) -> None:
    """And no other name has it."""
    state = State(tmp_path)
    ports = {name: state.port(name) for name in ("nats", "minio", "nats")}

    assert ports == {name: state.port(name) for name in ports}
    assert len(set(ports.values())) == 2


def test_ports_are_given_once_and_cost_a_bounded_number_of_descriptors() -> None:
    """A runtime asks for one with each instance of a function."""
    gc.collect()  # what earlier tests left may be closed at any time
    fds = Path("/proc/self/fd")
    ports = [free_port() for _ in range(CLAIMS)]
    before = len(list(fds.iterdir()))
    ports += [free_port() for _ in range(CLAIMS // 2)]

    assert len(set(ports[:CLAIMS])) == CLAIMS
    assert len(list(fds.iterdir())) == before
