"""The playlist that a player opens first: which playlist to go on with, and what it needs to know beforehand. Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from sluice.errors import UnusableInputError
from sluice.hls.playlist import VERSION

_CODECS: Final = re.compile(r"[A-Za-z0-9]+(\.[A-Za-z0-9]+)*(,[A-Za-z0-9]+(\.[A-Za-z0-9]+)*)*")
_SIZE: Final = re.compile(r"[1-9]\d{0,4}", re.ASCII)
_FPS: Final = re.compile(r"\d{1,4}(\.\d+)?", re.ASCII)
_STEP_BPS: Final = 50_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """What a session's stream is."""

    uri: str
    """Of its media playlist."""
    session: int
    bandwidth: int
    """Bits a second of its largest entry, with room above."""
    codecs: str = ""
    """RFC 6381; empty where nobody said, as a wrong one keeps a player from even trying."""
    width: int = 0
    height: int = 0
    fps: float = 0.0
    independent: bool = True


def variant(metadata: Mapping[str, str], *, uri: str, session: int, bandwidth: int) -> Variant:
    """Read a chunk's metadata; what is no codec, size or rate is left out: anybody can write metadata."""
    codecs = metadata.get("codec", "")
    width, height, fps = (metadata.get(name, "") for name in ("width", "height", "fps"))
    sized = _SIZE.fullmatch(width) and _SIZE.fullmatch(height)
    return Variant(
        uri=uri,
        session=session,
        bandwidth=bandwidth,
        codecs=codecs if _CODECS.fullmatch(codecs) and len(codecs) <= 100 else "",
        width=int(width) if sized else 0,
        height=int(height) if sized else 0,
        fps=round(float(fps), 3) if _FPS.fullmatch(fps) else 0.0,
        independent=metadata.get("open-gop") != "true",
    )


def roomy(bits_per_s: float) -> int:
    """A BANDWIDTH for this peak: a tenth more, in steps, so that it seldom changes."""
    return _STEP_BPS * (1 + int(bits_per_s * 1.1 / _STEP_BPS))


def render(each: Variant) -> str:
    """The playlist as text."""
    attributes = [f"BANDWIDTH={each.bandwidth}"]
    if each.codecs:
        attributes.append(f'CODECS="{each.codecs}"')
    if each.width:
        attributes.append(f"RESOLUTION={each.width}x{each.height}")
    if each.fps:
        attributes.append(f"FRAME-RATE={each.fps:.3f}")
    lines = ["#EXTM3U", f"#EXT-X-VERSION:{VERSION}"]
    lines += ["#EXT-X-INDEPENDENT-SEGMENTS"] if each.independent else []
    lines += [f"#EXT-X-STREAM-INF:{','.join(attributes)}", each.uri, f"# session {each.session}"]
    return "\n".join(lines) + "\n"


_TEXT: Final = re.compile(
    r"#EXTM3U\n#EXT-X-VERSION:\d+\n(?P<independent>#EXT-X-INDEPENDENT-SEGMENTS\n)?"
    r"#EXT-X-STREAM-INF:BANDWIDTH=(?P<bandwidth>\d+)(,CODECS=\"(?P<codecs>[^\"\n]+)\")?"
    r"(,RESOLUTION=(?P<width>\d+)x(?P<height>\d+))?(,FRAME-RATE=(?P<fps>[\d.]+))?\n"
    r"(?P<uri>[^#\n]+)\n# session (?P<session>\d+)\n",
    re.ASCII,
)


def parse(text: str) -> Variant:
    """Read what render wrote; raises UnusableInputError for anything else."""
    found = _TEXT.fullmatch(text)
    if not found:
        raise UnusableInputError("a multivariant playlist as Sluice writes it", repr(text[:80]), "playlist")
    return Variant(
        uri=found["uri"],
        session=int(found["session"]),
        bandwidth=int(found["bandwidth"]),
        codecs=found["codecs"] or "",
        width=int(found["width"] or 0),
        height=int(found["height"] or 0),
        fps=float(found["fps"] or 0),
        independent=found["independent"] is not None,
    )
