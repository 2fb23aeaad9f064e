"""Object keys, NATS subjects and ids: pure, rendered and parsed in both directions.

What a lister decides on stands in the name, because a listing carries no metadata.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from uuid import UUID, uuid5

from sluice.errors import InvalidNameError

CHUNKS: Final = "chunks/"
CHUNK_SUFFIX: Final = ".mp4"
UNKNOWN_CAMERA: Final = "_"
"""Stands where a camera's id belongs and none could be read."""

ACTIVITIES: Final = {"a": "active", "i": "idle", "u": "unknown", "o": "opening"}
_LETTERS: Final = {word: letter for letter, word in ACTIVITIES.items()}
_IDS: Final = UUID("6f0d7c1e-6a0e-5b57-9b7e-51ce00000001")
_CAMERA: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_FUNCTION: Final = re.compile(r"[a-z]+")
_MODEL: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_KIND: Final = re.compile(r"[a-z]+")
_STEM: Final = re.compile(r"(\d{13})-(\d{5})-(\d{6})-(\d{10})-([aiuo])-([0-9a-f]{8})", re.ASCII)
_FOLDER: Final = r"(?P<camera>[^/]+)/(?P<day>\d{4}-\d\d-\d\d)/(?P<hour>\d\d)"
_CHUNK_KEY: Final = re.compile(rf"chunks/{_FOLDER}/(?P<stem>[^/]+)\.mp4")
_RESULT_KEY: Final = re.compile(rf"results/(?P<work>[^/]+)/{_FOLDER}/(?P<stem>[^/]+)\.json")
_SUBJECT: Final = re.compile(r"sluice\.v1\.([a-z]+)\.([a-z0-9-]+|_)")
_INDEX_KEY: Final = re.compile(r"index/(?P<camera>[^/]+)/(?P<day>\d{4}-\d\d-\d\d)/(?P<hour>\d\d)\.json", re.ASCII)
_SHA256: Final = re.compile(r"[0-9a-f]{64}")


def checked_camera(camera: str) -> str:
    """Return *camera* if it is a camera id, else raise InvalidNameError."""
    if not _CAMERA.fullmatch(camera):
        raise InvalidNameError("camera id", camera, "[a-z0-9][a-z0-9-]{0,62}")
    return camera


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class ChunkName:
    """Everything a chunk's object key says; ordered by start as the keys of one camera are."""

    start_ms: int
    """Wall time of the first frame, Unix milliseconds."""
    duration_ms: int
    session: int
    """Ordinal of the source connection; a reader keeps to the highest it has applied."""
    seq: int
    """Counts up by one a chunk and camera, for ever; given at upload."""
    activity: str
    """active, idle, unknown or opening."""
    init: str
    """First 8 hex digits of the sha256 of the init segment."""
    camera: str

    def __post_init__(self) -> None:
        checked_camera(self.camera)
        if not _STEM.fullmatch(self.stem) or self.activity not in _LETTERS:
            raise InvalidNameError("chunk", f"{self.camera}/{self.stem}", "numbers that fit the name, a known activity")

    @property
    def stem(self) -> str:
        """The last part of the key, without its suffix."""
        letter = _LETTERS.get(self.activity, "?")
        head = f"{self.start_ms:013d}-{self.duration_ms:05d}-{self.session:06d}"
        return f"{head}-{self.seq:010d}-{letter}-{self.init}"

    @property
    def end_ms(self) -> int:
        """Wall time of the end of the last frame, Unix milliseconds."""
        return self.start_ms + self.duration_ms

    @property
    def key(self) -> str:
        """The object key of the chunk."""
        return f"{CHUNKS}{_folder(self)}/{self.stem}{CHUNK_SUFFIX}"

    @property
    def init_key(self) -> str:
        """The object key of its init segment."""
        return init_key(self.camera, self.init)

    def result_key(self, function: str, model: str | None = None) -> str:
        """The object key of what *function* found in the chunk: the only mark that the work is done."""
        return f"results/{_work(function, model)}/{_folder(self)}/{self.stem}.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultName:
    """What a result's object key says."""

    function: str
    model: str | None
    chunk: ChunkName

    @property
    def key(self) -> str:
        """The object key of the result."""
        return self.chunk.result_key(self.function, self.model)


def least_chunk_key(camera: str, start_ms: int) -> str:
    """No chunk that begins at *start_ms* or later has a key that sorts before it."""
    start_ms = max(0, start_ms)
    return ChunkName(
        start_ms=start_ms, duration_ms=0, session=0, seq=0, activity="active", init="0" * 8, camera=camera
    ).key


def parse_chunk_key(key: str) -> ChunkName:
    """Read a chunk's object key; raises InvalidNameError unless rendering it again gives the very same key."""
    found = _CHUNK_KEY.fullmatch(key)
    if not found:
        raise InvalidNameError("chunk key", key, "chunks/<camera>/<YYYY-MM-DD>/<HH>/<stem>.mp4")
    chunk = _parse_stem(found["camera"], found["stem"], key)
    if chunk.key != key:
        raise InvalidNameError("chunk key", key, f"{chunk.key} as its start says")
    return chunk


def parse_result_key(key: str) -> ResultName:
    """Read a result's object key."""
    found = _RESULT_KEY.fullmatch(key)
    if not found:
        raise InvalidNameError("result key", key, "results/<function>[-<model>]/<camera>/<YYYY-MM-DD>/<HH>/<stem>.json")
    function, _, model = found["work"].partition("-")
    name = ResultName(function=function, model=model or None, chunk=_parse_stem(found["camera"], found["stem"], key))
    if name.key != key:
        raise InvalidNameError("result key", key, name.key)
    return name


def init_key(camera: str, init: str) -> str:
    """The object key of an init segment."""
    return f"init/{checked_camera(camera)}/{init}.mp4"


def live_playlist_key(camera: str, target_duration: int) -> str:
    """The object key of the live playlist whose TARGETDURATION is so many whole seconds."""
    return f"hls/{checked_camera(camera)}/live-{target_duration}.m3u8"


def multivariant_key(camera: str) -> str:
    """The object key of the playlist that a player opens."""
    return f"hls/{checked_camera(camera)}/index.m3u8"


def index_key(camera: str, day: str, hour: str) -> str:
    """The object key of the index of a camera's closed hour; *day* as YYYY-MM-DD, *hour* as HH, both UTC."""
    key = f"index/{checked_camera(camera)}/{day}/{hour}.json"
    parse_index_key(key)
    return key


def parse_index_key(key: str) -> tuple[str, str, str]:
    """Read an hour index's object key: the camera, the day and the hour, as index_key takes them."""
    found = _INDEX_KEY.fullmatch(key)
    if not found or not _is_hour(found["day"], found["hour"]):
        raise InvalidNameError("index key", key, "index/<camera>/<YYYY-MM-DD>/<HH>.json")
    return checked_camera(found["camera"]), found["day"], found["hour"]


def token_key(sha256: str) -> str:
    """The object key of an access token, of which only the SHA-256 is kept."""
    if not _SHA256.fullmatch(sha256):
        raise InvalidNameError("token's sha256", sha256, "64 hex digits")
    return f"tokens/{sha256}.json"


def camera_key(camera: str) -> str:
    """The object key of a camera's configuration."""
    return f"cameras/{checked_camera(camera)}.json"


def state_key(function: str, camera: str) -> str:
    """The object key of the state that *function* keeps for *camera*."""
    return f"state/{_function(function)}/{checked_camera(camera)}.json"


def subject(kind: str, camera: str) -> str:
    """The NATS subject of results of *kind* from *camera* (UNKNOWN_CAMERA where none could be read)."""
    if not _KIND.fullmatch(kind):
        raise InvalidNameError("kind", kind, "[a-z]+")
    return f"sluice.v1.{kind}.{camera if camera == UNKNOWN_CAMERA else checked_camera(camera)}"


def parse_subject(name: str) -> tuple[str, str]:
    """Read a NATS subject: the kind and the camera."""
    found = _SUBJECT.fullmatch(name)
    if not found:
        raise InvalidNameError("subject", name, "sluice.v1.<kind>.<camera>")
    kind, camera = found.groups()
    return kind, camera if camera == UNKNOWN_CAMERA else checked_camera(camera)


def dead_letter_subject(trigger: str) -> str:
    """The NATS subject of what *trigger* could not deliver."""
    return f"sluice.deadletter.{checked_camera(trigger)}"


def event_id(event_type: str, *parts: object) -> str:
    """The id that every maker of the same event gives it, however often and wherever it is made."""
    return str(uuid5(_IDS, "|".join([event_type, *map(str, parts)])))


def _is_hour(day: str, hour: str) -> bool:
    try:
        datetime.strptime(f"{day}/{hour}+0000", "%Y-%m-%d/%H%z")
    except ValueError:
        return False
    return True


def _folder(chunk: ChunkName) -> str:
    start = datetime.fromtimestamp(chunk.start_ms / 1000, tz=UTC)
    return f"{chunk.camera}/{start:%Y-%m-%d}/{start:%H}"


def _parse_stem(camera: str, stem: str, key: str) -> ChunkName:
    found = _STEM.fullmatch(stem)
    if not found:
        expected = "<start_ms>-<dur_ms:05d>-<session:06d>-<seq:010d>-<a|i|u|o>-<init8>"
        raise InvalidNameError("chunk name in", key, expected)
    start, duration, session, seq, letter, init = found.groups()
    return ChunkName(
        start_ms=int(start),
        duration_ms=int(duration),
        session=int(session),
        seq=int(seq),
        activity=ACTIVITIES[letter],
        init=init,
        camera=checked_camera(camera),
    )


def _function(function: str) -> str:
    if not _FUNCTION.fullmatch(function):
        raise InvalidNameError("function", function, "[a-z]+")
    return function


def _work(function: str, model: str | None) -> str:
    if model is None:
        return _function(function)
    if not _MODEL.fullmatch(model):
        raise InvalidNameError("model", model, "[a-z0-9][a-z0-9-]{0,62}")
    return f"{_function(function)}-{model}"
