"""What the segmenter says of its cameras, and how a camera is shown."""

import json
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from sluice.address import redacted
from sluice.cameras.description import as_fields
from sluice.contracts.camera import Camera, Work
from sluice.errors import UnavailableError

ANSWER_S: Final = 5
MAX_ANSWER: Final = 16 << 20
UNKNOWN: Final = "unknown"
_WIDEST: Final = 160
_FACTS: Final = ("name", "state", "codec", "size", "fps", "bitrate", "last chunk", "drops", "note")

Report = Mapping[str, Any]


def reports(url: str) -> dict[str, Report]:
    """What the segmenter says, by camera; raises UnavailableError when it does not."""
    if not url:
        raise UnavailableError("segmenter", "no address: none runs locally, and SLUICE_SEGMENTER_URL is not set")
    try:
        with urllib.request.urlopen(f"{url.rstrip('/')}/cameras", timeout=ANSWER_S) as answer:
            found = json.loads(answer.read(MAX_ANSWER))
        return {str(each["camera"]): each for each in found}
    except (OSError, urllib.error.URLError, ValueError, TypeError, KeyError) as error:
        raise UnavailableError("segmenter", f"{redacted(url)}: {error}") from error


def table(names: Iterable[str], said: Mapping[str, Report], notes: Mapping[str, str]) -> Iterator[str]:
    """A line a camera under a line of headings; columns as wide as they must be."""
    rows = [_FACTS, *(_row(name, said.get(name, {}), notes.get(name, "")) for name in names)]
    widths = [max(len(row[at]) for row in rows) for at in range(len(_FACTS) - 1)]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        yield "  ".join([*cells, row[-1]]).rstrip()


def details(camera: Camera, report: Report) -> Iterator[str]:
    """Every setting, a line each; then what the segmenter says."""
    way_in = ("source", redacted(camera.source)) if camera.source else ("push", "by key (its hash is stored)")
    lines = [
        ("camera", camera.name),
        way_in,
        ("paused", _yes(camera.paused)),
        ("target", f"{camera.target_s:g} s"),
        ("record", _yes(camera.record)),
        ("retention", f"{camera.retention_days:g} days (stored; enforced by a later function)"),
        ("audio", _yes(camera.audio)),
        ("keyframes only", f"{_yes(camera.keyframes_only)} (what functions look at)"),
        *((function, each) for function, works in camera.functions.items() for each in shown_works(works)),
        *zip(_FACTS[1:], _row(camera.name, report, "")[1:], strict=True),
        ("reconnects", _said(report, "reconnects")),
        ("spooled", _said(report, "spooled")),
        ("worker", _said(report, "worker")),
    ]
    for name, value in lines:
        if value not in ("", "-"):
            yield f"{name:15} {value}"


def for_programs(camera: Camera, report: Report) -> dict[str, Any]:
    """A camera as JSON, with what the segmenter says; without passwords and hashes."""
    settings = as_fields(camera)
    settings.pop("push_key")
    return {
        **{name: value for name, value in report.items() if name != "camera"},
        **settings,
        "source": redacted(camera.source),
        "push": bool(camera.push_key),
        "state": report.get("state", UNKNOWN),
    }


def shown_works(works: tuple[Work, ...]) -> Iterator[str]:
    """In a line each, as `objects: fps 5, labels person+car`."""
    yield from map(_shown_work, works)
    if not works:
        yield "nothing"


def _shown_work(work: Work) -> str:
    parts = {
        "fps": "" if work.fps is None else f"fps {work.fps:g}",
        "labels": "" if work.labels is None else f"labels {'+'.join(work.labels)}",
        "score": "" if work.min_score is None else f"min score {work.min_score:g}",
    }
    said = ", ".join(part for part in parts.values() if part)
    return f"{work.model or 'its own model'}{': ' if said else ''}{said}"


def printable(text: str) -> str:
    """One line without control characters: a camera's banner must not drive the operator's terminal."""
    return "".join(letter if letter.isprintable() else " " for letter in text)[:_WIDEST].strip()


def _row(name: str, report: Report, note: str) -> tuple[str, ...]:
    size = f"{report['width']}x{report['height']}" if report.get("width") and report.get("height") else "-"
    return (
        name,
        _said(report, "state", UNKNOWN),
        _said(report, "codec"),
        printable(size),
        _number(report.get("fps"), "{:.4g}"),
        _bits(report.get("bitrate")),
        _number(report.get("last_chunk_s"), "{:.1f} s ago"),
        _said(report, "dropped"),
        printable(", ".join(redacted(str(each)) for each in (*_remarks(report), note) if each)),
    )


def _remarks(report: Report) -> Iterator[object]:
    yield report.get("transcoding")
    yield report.get("reason") if report.get("reason") != report.get("state") else ""
    yield report.get("detail")
    if report.get("audio_dropped"):
        yield f"sound left out: {report['audio_dropped']}"
    if report.get("spooled"):
        yield f"{report['spooled']} chunks on disk"
    yield report.get("trouble")


def _said(report: Report, name: str, otherwise: str = "-") -> str:
    value = report.get(name)
    return otherwise if value is None or value == "" else printable(str(value))


def _number(value: Any, form: str) -> str:
    """Zero is a number that is not known yet."""
    return form.format(value) if isinstance(value, int | float) and value else "-"


def _bits(value: Any) -> str:
    if not isinstance(value, int | float) or not value:
        return "-"
    return f"{value / 1e6:.1f} Mbit/s" if value >= 1e6 else f"{value / 1e3:.0f} kbit/s"


def _yes(value: bool) -> str:
    return "yes" if value else "no"
