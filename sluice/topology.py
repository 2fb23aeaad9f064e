"""The streams, consumers and buckets of NATS, as data: for `sluice init`, and for the bridge to mend a wiped server."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

HOUR_S: Final = 3600
DAY_S: Final = 24 * HOUR_S
GIB: Final = 1 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """A JetStream stream; bounded in age and bytes, as NATS bounds neither by itself."""

    name: str
    subjects: tuple[str, ...]
    about: str
    max_age_s: float
    max_bytes: int
    dedupe_s: float = 2 * HOUR_S
    """A second message with the same id within this time is dropped by the server."""
    work_queue: bool = False
    """True: a message is gone once its consumer acknowledged it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Consumer:
    """A durable pull consumer."""

    stream: str
    name: str
    ack_wait_s: float = 30
    max_ack_pending: int = 1000
    filter_subject: str | None = None
    filter_subjects: tuple[str, ...] = ()
    """Instead of filter_subject, where there are several; they must not overlap."""
    since: datetime | None = None
    """Only what the stream took at this time or later; it counts when the consumer is made."""
    acks: bool = True
    """False: what was fetched counts as done."""
    inactive_s: float = 0
    """The server forgets it when nobody has fetched for so long; 0: never."""

    @property
    def filters(self) -> tuple[str, ...]:
        """The subjects that it takes of the stream; none: all."""
        return self.filter_subjects or ((self.filter_subject,) if self.filter_subject else ())


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """A key-value bucket."""

    name: str
    about: str


RESULT_KINDS: Final = ("detections", "health", "playlists", "rejected", "tracks", "events", "counts")

INTAKE: Final = Stream(
    name="SLUICE_INTAKE",
    subjects=("sluice.intake.*",),
    about="what the bucket announced, not yet an event",
    max_age_s=7 * DAY_S,
    max_bytes=4 * GIB,
    work_queue=True,
)
CHUNKS: Final = Stream(
    name="SLUICE_CHUNKS",
    subjects=("sluice.v1.chunks.*", "sluice.v1.cameras.*"),
    about="events for the Broker",
    max_age_s=7 * DAY_S,
    max_bytes=4 * GIB,
)
RESULTS: Final = Stream(
    name="SLUICE_RESULTS",
    subjects=tuple(f"sluice.v1.{kind}.*" for kind in RESULT_KINDS),
    about="what the functions found, for everybody",
    max_age_s=7 * DAY_S,
    max_bytes=16 * GIB,
)
DEADLETTERS: Final = Stream(
    name="SLUICE_DEADLETTERS",
    subjects=("sluice.deadletter.*",),
    about="events that a Trigger could not deliver",
    max_age_s=30 * DAY_S,
    max_bytes=GIB,
)
INTAKE_BRIDGE: Final = Consumer(stream=INTAKE.name, name="bridge")
CHUNKS_BRIDGE: Final = Consumer(stream=CHUNKS.name, name="bridge")
CAMERAS: Final = Bucket(name="sluice_cameras", about="a watched copy of the objects cameras/<camera>.json")

STREAMS: Final = (INTAKE, CHUNKS, RESULTS, DEADLETTERS)
CONSUMERS: Final = (INTAKE_BRIDGE, CHUNKS_BRIDGE)
BUCKETS: Final = (CAMERAS,)
