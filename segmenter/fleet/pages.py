"""What the segmenter shows over HTTP: its cameras as JSON, and numbers for Prometheus. Pure."""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

PROMETHEUS: Final = "text/plain; version=0.0.4; charset=utf-8"
_STATES: Final = ("online", "connecting", "offline", "paused", "fenced")

COUNTERS: Final = {
    "packets": "packets of video and audio that came",
    "bytes": "bytes of these",
    "connections": "times that the source was connected",
    "chunks": "chunks cut",
    "stored": "chunks that the store has",
    "sessions": "sessions begun",
    "frames_dropped": "frames without an honest time or that mp4 cannot hold",
    "frames_waiting": "frames that came before a keyframe, or after the limit of a GOP",
    "repaired": "packets whose missing or standing time was filled in",
    "sound_dropped": "packets of sound that could not be kept",
    "pictures_skipped": "pictures left out as encoding them anew fell behind",
    "pictures_broken": "pictures to be encoded anew that could not be decoded",
    "sound_broken": "packets of sound to be made AAC that could not be decoded",
    "packets_lost": "packets of RTP that never came, or too late",
    "datagrams_refused": "datagrams of senders that are not allowed, or that another one was ahead of",
    "datagrams_broken": "datagrams that are not what the address of the camera says",
}
GAUGES: Final = {
    "spooled": "chunks on disk, on their way to the store",
    "spool_bytes": "bytes of these",
    "fps": "frames a second of the newest chunk",
    "bitrate": "bits a second of the newest chunk",
    "drift_ms": "how far the camera's clock has moved against ours in its session",
    "held_ms": "how much later than the clock says the newest chunk was placed",
}
"""Both: by the field of a report; the metric is sluice_camera_<field>."""
OTHERS: Final = {
    "sluice_camera_state": ("gauge", "1 for the state that the camera is in"),
    "sluice_camera_transcoding": ("gauge", "1 while its video is encoded anew"),
    "sluice_camera_last_chunk_age_seconds": ("gauge", "since the end of the newest chunk that the store has"),
    "sluice_camera_dropped_total": ("counter", "chunks that will not arrive, by reason"),
    "sluice_segmenter_cameras": ("gauge", "cameras in a worker"),
    "sluice_segmenter_crashes": ("gauge", "how often a worker died, the last ten"),
    "sluice_segmenter_events_lost_total": ("counter", "events that NATS was away for too long to take"),
    "sluice_segmenter_clock_steps_total": ("counter", "times that the machine's clock was set"),
}


def cameras_page(reports: Iterable[Mapping[str, Any]], *, now_ms: int) -> bytes:
    """A JSON list, by name."""
    shown = [{**each, "last_chunk_s": _age_s(each, now_ms)} for each in reports]
    for each in shown:
        each["dropped_chunks"] = each.get("dropped", {})
        each["dropped"] = sum(each["dropped_chunks"].values())
        each["reconnects"] = max(0, each.get("connections", 0) - 1)
    return json.dumps(sorted(shown, key=lambda each: str(each["camera"]))).encode()


def metrics_page(
    reports: Iterable[Mapping[str, Any]],
    workers: Iterable[tuple[int, int | None, int, int]],
    *,
    now_ms: int,
    events_lost: int,
    clock_steps: int,
) -> bytes:
    """Prometheus' text format."""
    held, staff = list(reports), list(workers)
    lines = [*_of_reports(held), *_others(held, now_ms)]
    lines += _family("sluice_segmenter_cameras", ((f'worker="{number}"', count) for number, _, count, _ in staff))
    lines += _family("sluice_segmenter_crashes", ((f'worker="{number}"', died) for number, _, _, died in staff))
    lines += _family("sluice_segmenter_events_lost_total", [("", events_lost)])
    lines += _family("sluice_segmenter_clock_steps_total", [("", clock_steps)])
    return "".join(f"{line}\n" for line in lines).encode()


def _of_reports(reports: list[Mapping[str, Any]]) -> Iterator[str]:
    for kind, table in (("counter", COUNTERS), ("gauge", GAUGES)):
        for field, about in table.items():
            name = f"sluice_camera_{field}{'_total' if kind == 'counter' else ''}"
            yield from _head(name, kind, about)
            yield from (_line(name, _camera(each), each.get(field, 0)) for each in reports)


def _others(reports: list[Mapping[str, Any]], now_ms: int) -> Iterator[str]:
    yield from _family(
        "sluice_camera_state",
        ((f'{_camera(each)},state="{s}"', int(each.get("state") == s)) for each in reports for s in _STATES),
    )
    yield from _family(
        "sluice_camera_transcoding", ((_camera(each), int(bool(each.get("transcoding")))) for each in reports)
    )
    ages = [(_camera(each), age) for each in reports if (age := _age_s(each, now_ms)) is not None]
    yield from _family("sluice_camera_last_chunk_age_seconds", ages)
    dropped = ((each, reason, count) for each in reports for reason, count in each.get("dropped", {}).items())
    yield from _family(
        "sluice_camera_dropped_total", ((f'{_camera(each)},reason="{why}"', count) for each, why, count in dropped)
    )


def _family(name: str, samples: Iterable[tuple[str, float]]) -> Iterator[str]:
    yield from _head(name, *OTHERS[name])
    yield from (_line(name, labels, value) for labels, value in samples)


def _head(name: str, kind: str, about: str) -> tuple[str, str]:
    return f"# HELP {name} {about}", f"# TYPE {name} {kind}"


def _line(name: str, labels: str, value: float) -> str:
    return f"{name}{{{labels}}} {value}" if labels else f"{name} {value}"


def _camera(report: Mapping[str, Any]) -> str:
    # An object that is no camera's is told by its key, which may hold anything.
    name = str(report["camera"]).replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
    return f'camera="{name}"'


def _age_s(report: Mapping[str, Any], now_ms: int) -> float | None:
    newest = report.get("last_chunk_ms")
    return None if newest is None else round((now_ms - newest) / 1000, 3)
