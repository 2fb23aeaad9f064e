"""Chunks that flow through the line, and the account of what became of each."""

import time
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count

from sluice import cameras, names
from sluice.contracts.camera import Camera, Work
from sluice.names import ChunkName, parse_chunk_key
from tests.endtoend.system import System
from tests.recorded import CHUNK_MS, record
from tests.services.line import eventually

MODEL = "squares"
HEALED_S = 300
"""The sweeper announces again what no result shows, each minute, once it is a minute old."""


class Source:
    """A camera whose chunks a test puts by hand, one after the other."""

    def __init__(self, system: System, name: str) -> None:
        self.name, self.put_at = name, dict[str, float]()
        self._system, self._seq = system, count(1)
        self._start_ms = time.time_ns() // 1_000_000

    def put(self, activity: str = "active") -> ChunkName:
        """The next one."""
        seq = next(self._seq)
        start_ms = self._start_ms + (seq - 1) * CHUNK_MS
        (chunk,) = record(
            self._system.store, self.name, start_ms=start_ms, chunks=1, first_seq=seq, activity=activity, audio=False
        )
        self.put_at[chunk.key] = time.time()
        return chunk


@contextmanager
def source(system: System, prefix: str) -> Iterator[Source]:
    """Of a camera that nobody else has, looked at by the model that needs no weights."""
    name = f"{prefix}-{uuid.uuid4().hex[:12]}"
    looked_at: dict[str, tuple[Work, ...]] = {"detect": (Work(model=MODEL),)}
    cameras.create(system.store, system.bus, Camera(name=name, source="test://", paused=True, functions=looked_at))
    yield Source(system, name)
    system.store.delete([names.camera_key(name)])


def stored(system: System, camera: str) -> list[ChunkName]:
    """What the bucket holds, in order of time."""
    return [parse_chunk_key(each.key) for each in system.store.list(f"chunks/{camera}/")]


def results(system: System, camera: str, function: str = "detect", model: str | None = MODEL) -> set[str]:
    """The keys of its result objects."""
    place = f"{function}-{model}" if model else function
    return {each.key for each in system.store.list(f"results/{place}/{camera}/")}


def unanswered(system: System, camera: str) -> list[ChunkName]:
    """Chunks that wait for detect."""
    done = results(system, camera)
    return [each for each in stored(system, camera) if each.result_key("detect", MODEL) not in done]


def answered(system: System, camera: str) -> set[str]:
    """Keys of the chunks that detect is done with."""
    done = results(system, camera)
    return {each.key for each in stored(system, camera) if each.result_key("detect", MODEL) in done}


def assert_each_once(system: System, camera: str, chunks: Sequence[ChunkName], *, within_s: float = HEALED_S) -> None:
    """One object and one message for each chunk and model, and one inspection for each session's first."""
    detected = [each for each in chunks if each.activity != "idle"]
    _assert_each_once(system, camera, detected, function="detect", model=MODEL, kind="detections", within_s=within_s)
    opening = [each for each in chunks if each.activity == "opening"]
    _assert_each_once(system, camera, opening, function="inspect", model=None, kind="health", within_s=within_s)


def _assert_each_once(
    system: System,
    camera: str,
    chunks: Sequence[ChunkName],
    *,
    function: str,
    model: str | None,
    kind: str,
    within_s: float,
) -> None:
    keys = {each.result_key(function, model) for each in chunks}

    def missing() -> set[str]:
        return keys - results(system, camera, function, model)

    eventually(f"each result of {function} for {camera}", lambda: not missing(), within_s=within_s)
    assert results(system, camera, function, model) == keys
    told = Counter(each["chunk"]["key"] for each in system.messages(kind, camera))
    wanted = Counter(each.key for each in chunks)
    assert told == wanted, f"of {function}: lost {sorted(wanted - told)}, too many {sorted(told - wanted)}"
