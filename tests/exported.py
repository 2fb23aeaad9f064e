"""What the parts really export: each is put to work, and its page is read as Prometheus reads it."""

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from functions.detect.handler import handle as detect
from functions.detect.settings import DetectSettings
from functions.index.handler import index
from functions.inspect.handler import handle as inspect
from functions.sweep.handler import sweep
from functions.sweep.promises import read_promises
from functions.sweep.rounds import sweep_camera
from segmenter.fleet.pages import metrics_page
from segmenter.report import CameraReport
from sluice import events, telemetry
from sluice.cameras import encode
from sluice.contracts.camera import Camera, Work
from sluice.contracts.chunk import ChunkStored
from sluice.errors import ConflictError, UnavailableError
from sluice.local.program import free_port
from sluice.names import camera_key
from sluice.process import CLOSERS
from sluice.serving import function_app
from sluice.settings import ServingSettings, StoreSettings
from sluice.store import S3Store
from sluice.telemetry import Telemetry
from sluice.testing.bus import MemoryBus
from sluice.testing.detector import SeesSquares
from sluice.testing.store import MemoryStore
from tests.builders import a_chunk, a_chunk_stored
from tests.packaging import Gate, WatchedStore
from tests.services.broker import broker_stub
from triggers.bridge.app import bridge_app
from triggers.bridge.settings import BridgeSettings

ROOT = Path(__file__).parent.parent
GOLDEN = ROOT / "tests" / "data" / "notifications" / "aws-put.json"
HALF_AN_HOUR_S = 1800


class Exported:
    """The pages of all parts together."""

    def __init__(self, *pages: str) -> None:
        self.labels: dict[str, frozenset[str]] = {}
        """By the names that PromQL has: a histogram's end in _bucket, _sum or _count."""
        self.families: dict[str, tuple[str, str, frozenset[str]]] = {}
        """Type, sentence and labels, by the name that a document has."""
        for page in pages:
            for family in text_string_to_metric_families(page):
                name = f"{family.name}_total" if family.type == "counter" else family.name
                labels = frozenset(label for sample in family.samples for label in sample.labels) - {"le"}
                seen = self.families.get(name, ("", "", frozenset()))[2]
                self.families[name] = (family.type, family.documentation, labels | seen)
                for sample in family.samples:
                    known = self.labels.get(sample.name, frozenset())
                    self.labels[sample.name] = known | frozenset(sample.labels)


@dataclass(slots=True, kw_only=True)
class Overtaken(WatchedStore):
    """Somebody else writes first, so many times."""

    times: int = 0

    def replace(
        self, key: str, body: bytes, *, etag: str, content_type: str = "application/json", cache_control: str = ""
    ) -> str:
        """See ObjectStore.replace."""
        if self.times:
            self.times -= 1
            raise ConflictError(key, etag)
        return WatchedStore.replace(self, key, body, etag=etag, content_type=content_type, cache_control=cache_control)


def pages() -> Iterator[str]:
    """One of each part, which has met everything that it counts."""
    for part, work in (("detect", detects), ("package", packages), ("sweep", rounds), ("any", calls_the_store)):
        metrics = Telemetry(part)
        telemetry.use(metrics, newest=True)  # rounds work in threads of their own
        work()
        yield metrics.render()[0].decode()
    yield bridged()
    yield answered()
    report = CameraReport(camera="gate", last_chunk_ms=1, dropped={"full": 1})
    yield metrics_page([asdict(report)], [(1, 1, 1, 0)], now_ms=2, events_lost=0, clock_steps=0).decode()


def detects() -> None:
    """A chunk through detect and inspect."""
    store, (_, body) = MemoryStore(), a_chunk()
    event = a_chunk_stored(activity="active")
    store.put(event.data.chunk.key, body, content_type="video/mp4")
    camera = Camera(name="gate", source="test://", functions={"detect": (Work(model="squares", fps=5),)})
    store.put(camera_key("gate"), encode(camera))
    detect(event, store=store, bus=MemoryBus(), detector=SeesSquares(), settings=DetectSettings(late_s=0))
    inspect(event, store=store, bus=MemoryBus())


def packages() -> None:
    """Chunks into a live list that somebody else writes as well."""
    store = Overtaken()
    gate = Gate(store=store)
    gate.add(2)
    store.times = 1
    gate.add(1)


def rounds() -> None:
    """A sweep that finds a chunk without results half an hour after it looked first, and an index."""
    began_ms = round((time.time() - HALF_AN_HOUR_S) * 1000)
    store, bus = MemoryStore(now=lambda: datetime.fromtimestamp(began_ms / 1000, UTC)), MemoryBus()
    promises = read_promises(str(ROOT / "triggers"))
    sweep_camera("gate", promises, store=store, bus=bus, bucket="sluice", now_ms=began_ms)
    store.put(a_chunk_stored(start_ms=began_ms, activity="active").data.chunk.key, b"x")
    sweep(promises, store=store, bus=bus, bucket="sluice")
    index(store=store)


def calls_the_store() -> None:
    """A store that is not there."""
    url = f"http://127.0.0.1:{free_port()}"
    store = S3Store(StoreSettings(url=url, access_key="nobody", secret_key="nothing", timeout_s=1))
    with suppress(UnavailableError):
        store.get("chunks/gate")


def answered() -> str:
    """A function that finds a bug in itself."""

    def fails(_event: object) -> None:
        raise KeyError

    client = function_app(fails, part="any", accepts=ChunkStored, settings=ServingSettings()).test_client()
    client.get("/health/readiness")
    headers, body = events.to_http(a_chunk_stored())
    client.post("/", headers=headers, data=body)
    return client.get("/metrics").get_data(as_text=True)


def bridged() -> str:
    """Announcements good, doubled, foreign and broken; a Broker that is busy; a dead letter."""
    bus, good = MemoryBus(), GOLDEN.read_bytes()
    with broker_stub() as broker:
        broker.statuses = [503]
        app = bridge_app(BridgeSettings(sink=broker.url), ServingSettings(), bus=bus)
        for n, payload in enumerate((good, good, good.replace(b"chunks/", b"attic/"), b"junk")):
            bus.publish("sluice.intake.sure", payload, message_id=str(n))
        client = app.test_client()
        client.post("/deadletter", headers={"ce-id": "1", "ce-source": "/x", "ce-type": "x", "ce-specversion": "1.0"})
        page = _once(lambda: client.get("/metrics").get_data(as_text=True), until='code="202"')
        for close in app.extensions[CLOSERS]:
            close()
    return page


def _once(look: Callable[[], str], *, until: str) -> str:
    deadline = time.monotonic() + 10
    while until not in (page := look()):
        assert time.monotonic() < deadline, page
        time.sleep(0.02)
    return page
