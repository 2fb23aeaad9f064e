"""What holds for the chunks of every camera, checked on what stands in the store, as a reader finds it."""

import hashlib
import io
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import groupby, pairwise

import av

from segmenter.chunk import rfc6381
from sluice.boxes import boxes
from sluice.errors import ObjectNotFoundError
from sluice.names import CHUNKS, ChunkName, parse_chunk_key
from sluice.store import ObjectStore
from tests.fragments import runs
from tests.payloads import Payloads, length_size_of, opens, payloads_of

AUDIO_SLACK_S = Fraction(1, 500)
"""Sound that came in milliseconds, as by RTMP, is rounded at both ends of each packet."""
DURATION_SLACK_MS = 3
_SLEW = 0.0006
_ENDS = ("keyframe", "limit", "end")


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredChunk:
    """An object of the bucket."""

    name: ChunkName
    body: bytes
    metadata: Mapping[str, str]

    @property
    def init(self) -> bytes:
        """What stands before its moof."""
        return self.body[: self._media_at]

    @property
    def media(self) -> bytes:
        """Its moof and mdat."""
        return self.body[self._media_at :]

    @property
    def _media_at(self) -> int:
        found = [box.start for box in boxes(self.body) if box.kind == b"moof"]
        assert len(found) == 1, f"{self.name.key}: {len(found)} moof boxes, expected one"
        return found[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSession:
    """A run of chunks that are one stream."""

    number: int
    init: bytes
    chunks: tuple[StoredChunk, ...]
    payloads: Payloads

    @property
    def stream(self) -> bytes:
        """One file of all of it."""
        return self.init + b"".join(each.media for each in self.chunks)


def names_of(store: ObjectStore, camera: str) -> list[ChunkName]:
    """Names of the chunks of a camera, as they sort."""
    return [parse_chunk_key(each.key) for each in store.list(f"{CHUNKS}{camera}/")]


def accepted(names: Iterable[ChunkName]) -> list[ChunkName]:
    """What a reader keeps: nothing of a session lower than one it has seen, nothing that overlaps."""
    kept = list[ChunkName]()
    for name in names:
        if not kept or (name.session >= kept[-1].session and name.start_ms >= kept[-1].end_ms):
            kept.append(name)
    return kept


def checked_sessions(
    store: ObjectStore, camera: str, *, writers: int = 1, newest: int | None = None
) -> list[StoredSession]:
    """The sessions of a camera that readers accept; fails naming the chunk that breaks a rule.

    *newest*: only so many are read, though all are named.
    """
    names = names_of(store, camera)
    assert names, f"{camera}: no chunks"
    kept = accepted(names)
    check_order(names if writers == 1 else kept, gapless=writers == 1)
    runs = groupby((_got(store, name) for name in kept[-newest if newest else 0 :]), key=lambda each: each.name.session)
    return [_session(store, number, tuple(chunks)) for number, chunks in runs]


def check_order(names: Sequence[ChunkName], *, gapless: bool = True) -> None:
    """Order of key is order of seq and session; none is missing or doubled, none begins before another's end."""
    for before, after in pairwise(names):
        assert after.start_ms >= before.end_ms, f"{after.key} overlaps {before.stem}"
        assert after.session >= before.session, f"{after.key}: session falls after {before.stem}"
        assert after.seq > before.seq, f"{after.key}: seq does not rise after {before.stem}"
        # Two that write at once leave holes where one was fenced.
        assert not gapless or after.seq == before.seq + 1, f"{after.key}: seq missing after {before.stem}"
        opens = after.session != before.session
        # Of two that write at once the newer one's first may overlap what the elder still put: readers pass it over.
        opened = after.activity == "opening" or (opens and not gapless)
        assert opened == opens, f"{after.key}: opening is for a session's first chunk alone"
    opened = names[0].activity == "opening" or not gapless
    assert opened, f"{names[0].key}: opening is for a session's first chunk alone"


def check_chunk(chunk: StoredChunk) -> Payloads:
    """It plays alone, starts at a random-access point, and its metadata agrees; returns what its packets carry."""
    key, said = chunk.name.key, chunk.metadata
    with av.open(io.BytesIO(chunk.body), "r") as container:
        video = container.streams.video[0]
        packets = [each for each in container.demux(video) if each.size]
        keyframes = [each.is_keyframe for each in packets]
        opening = packets[:1] and opens(bytes(packets[0]), video.codec_context.name, length_size=length_size_of(video))
        audio = next(iter(container.streams.audio), None)
        config = audio.codec_context.extradata if audio else None
        shape = (video.width, video.height)
    assert opening, f"{key}: does not start at a random-access point"
    seconds = chunk.name.duration_ms / 1000
    expected = {
        "camera": chunk.name.camera,
        "codec": rfc6381(chunk.init, config),
        "width": str(shape[0]),
        "height": str(shape[1]),
        "frames": str(len(keyframes)),
        "keyframes": str(sum(keyframes)),
        "sha256": hashlib.sha256(chunk.body).hexdigest(),
    }
    found = {name: said.get(name) for name in expected}
    assert found == expected, f"{key}: metadata {found}, expected {expected}"
    assert said["reason"] in _ENDS, f"{key}: reason {said['reason']}"
    assert said["open-gop"] in ("true", "false"), f"{key}: open-gop {said['open-gop']}"
    for name, value in (("bitrate", len(chunk.body) * 8 / seconds), ("fps", len(keyframes) / seconds)):
        assert abs(float(said[name]) - value) <= 0.02 * value, f"{key}: {name} {said[name]}, expected {value:g}"
    return payloads_of(chunk.body)


def check_continuous(chunks: Sequence[StoredChunk]) -> None:
    """Each track's decode time goes on where the chunk before ended, and names say how long they last."""
    every = [(chunk, runs(chunk.init, chunk.media)) for chunk in chunks]
    for chunk, tracks in every:
        video = next(each for each in tracks if each.is_video)
        lasts_ms = video.shown * 1000 / video.timescale
        off_ms = abs(lasts_ms - chunk.name.duration_ms)
        allowed_ms = DURATION_SLACK_MS + lasts_ms * _SLEW
        assert video.is_sync, f"{chunk.name.key}: its first sample is not said to be a random-access point"
        assert off_ms <= allowed_ms, f"{chunk.name.key}: lasts {lasts_ms:.1f} ms"
    ends = dict[bool, int]()
    for chunk, tracks in every:
        for mine in tracks:  # a chunk of a few pictures may have no sound
            slack = 0 if mine.is_video else AUDIO_SLACK_S * mine.timescale
            gap = mine.start - ends.get(mine.is_video, mine.start)
            kind = "video" if mine.is_video else "audio"
            assert abs(gap) <= slack, f"{chunk.name.key}: {kind} tfdt leaves {gap}/{mine.timescale} s"
            ends[mine.is_video] = mine.end


def check_plays(stream: bytes, what: str) -> None:
    """`ffprobe -v warning -show_packets` has nothing to say of it."""
    command = ["ffprobe", "-v", "warning", "-show_packets", "-show_entries", "packet=size", "-of", "csv", "-i", "-"]
    done = subprocess.run(command, input=stream, capture_output=True, check=False, timeout=60)
    said = done.stderr.decode("utf-8", "replace").strip()
    assert done.returncode == 0, f"{what}: ffprobe failed: {said}"
    assert not said, f"{what}: ffprobe warns: {said[:500]}"
    assert done.stdout, f"{what}: ffprobe found no packets"


def _session(store: ObjectStore, number: int, chunks: tuple[StoredChunk, ...]) -> StoredSession:
    first = chunks[0]
    try:
        init = store.get(first.name.init_key).body
    except ObjectNotFoundError:
        raise AssertionError(f"{first.name.key}: its init segment is not stored") from None
    assert hashlib.sha256(init).hexdigest()[:8] == first.name.init, f"{first.name.init_key}: not what its name says"
    for each in chunks:
        assert each.name.init == first.name.init, f"{each.name.key}: another init segment within a session"
        assert each.init == init, f"{each.name.key}: its head is not the init segment"
    payloads = sum((check_chunk(each) for each in chunks), Payloads())
    check_continuous(chunks)
    session = StoredSession(number=number, init=init, chunks=chunks, payloads=payloads)
    check_plays(session.stream, f"{first.name.camera}, session {number}")
    return session


def _got(store: ObjectStore, name: ChunkName) -> StoredChunk:
    found = store.get(name.key)
    return StoredChunk(name=name, body=found.body, metadata=found.metadata)
