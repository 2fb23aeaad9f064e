"""A chunk ready to be put: its bytes, and what its metadata says of them."""

import hashlib
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

from sluice.boxes import find

_SAMPLE_ENTRY = "moov/trak/mdia/minf/stbl/stsd"


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """One chunk: the body is the object, the init alone is put once a session."""

    body: bytes
    """ftyp and moov, then one moof and its mdat."""
    init_bytes: int
    """Of ftyp and moov."""
    start: Fraction
    """Media time of its first keyframe, in seconds."""
    duration_ms: int
    frames: int
    keyframes: int
    codec: str
    """RFC 6381, video first."""
    width: int
    height: int
    fps: float
    bitrate: int
    open_gop: bool
    """Frames are shown before the keyframe that they follow; some of these may need the chunk before."""
    reason: str
    """What ended it: keyframe, limit or end."""
    audio_dropped: str | None
    """Codec of the source's audio when it could not be copied."""

    @property
    def init(self) -> bytes:
        """The init segment: ftyp and moov."""
        return self.body[: self.init_bytes]

    @property
    def media(self) -> bytes:
        """One moof and its mdat."""
        return self.body[self.init_bytes :]

    @property
    def init8(self) -> str:
        """What the names of chunk and init segment carry."""
        return hashlib.sha256(self.init).hexdigest()[:8]

    @property
    def sha256(self) -> str:
        """Of the object."""
        return hashlib.sha256(self.body).hexdigest()


def metadata(chunk: Chunk, *, camera: str, traceparent: str | None = None) -> dict[str, str]:
    """The object's metadata: for readers; what listers decide on stands in the name."""
    said: dict[str, str | None] = {
        "camera": camera,
        "codec": chunk.codec,
        "width": str(chunk.width),
        "height": str(chunk.height),
        "fps": f"{chunk.fps:g}",
        "frames": str(chunk.frames),
        "keyframes": str(chunk.keyframes),
        "bitrate": str(chunk.bitrate),
        "sha256": chunk.sha256,
        "open-gop": "true" if chunk.open_gop else "false",
        "reason": chunk.reason,
        "audio-dropped": chunk.audio_dropped,
        "traceparent": traceparent,
    }
    return {name: text for name, text in said.items() if text is not None}


@lru_cache(maxsize=64)
def rfc6381(init: bytes, audio_config: bytes | None = None) -> str:
    """The codecs of an init segment as players want them named (RFC 6381; ISO/IEC 14496-15 annex E)."""
    codecs = [
        *(_avc(init[box.body : box.end]) for box in find(init, f"{_SAMPLE_ENTRY}/avc1/avcC")),
        *(_hevc(init[box.body : box.end]) for box in find(init, f"{_SAMPLE_ENTRY}/hvc1/hvcC")),
    ]
    if audio_config:
        object_type = audio_config[0] >> 3
        codecs.append(f"mp4a.40.{object_type}")
    return ",".join(codecs)


def _avc(record: bytes) -> str:
    return f"avc1.{record[1:4].hex()}"


def _hevc(record: bytes) -> str:
    space = ("", "A", "B", "C")[record[1] >> 6]
    tier = "H" if record[1] & 0x20 else "L"
    compatible = int(f"{int.from_bytes(record[2:6], 'big'):032b}"[::-1], 2)
    constraints = record[6:12].rstrip(b"\0")
    tail = "".join(f".{byte:X}" for byte in constraints)
    return f"hvc1.{space}{record[1] & 0x1F}.{compatible:X}.{tier}{record[12]}{tail}"
