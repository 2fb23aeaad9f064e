"""The Grafana dashboard as a table of panels; run as a program it writes dashboard.json beside it.

Every name is checked by tests/unit/test_dashboard.py against what the parts export.
"""
# ruff: noqa: INP001 (a program beside what it writes)

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

SOURCE: Final = {"type": "prometheus", "uid": "${source}"}
COLUMNS: Final = 24
WIDTH: Final = 8
HEIGHT: Final = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """A graph; *queries* are PromQL by the legend of their lines."""

    title: str
    unit: str
    queries: dict[str, str]
    about: str = ""
    stacked: bool = False


def rate(metric: str, *by: str, where: str = "") -> str:
    """Of a counter, a second; summed over instances."""
    selected = f"{metric}{{{where}}}" if where else metric
    grouped = f"by ({', '.join(by)}) " if by else ""
    return f"sum {grouped}(rate({selected}[$__rate_interval]))"


def quantile(of: float, metric: str, *by: str, where: str = "") -> str:
    """Of a histogram, over all instances."""
    return f"histogram_quantile({of}, {rate(f'{metric}_bucket', 'le', *by, where=where)})"


CAMERA: Final = 'camera=~"$camera"'

ROWS: Final[dict[str, tuple[Panel, ...]]] = {
    "Cameras": (
        Panel(
            title="Cameras by state",
            unit="short",
            queries={"{{state}}": "sum by (state) (sluice_camera_state)"},
            stacked=True,
        ),
        Panel(
            title="Frames in",
            unit="short",
            queries={"{{camera}}": f"sluice_camera_fps{{{CAMERA}}}"},
            about="Frames a second of each camera's newest chunk.",
        ),
        Panel(
            title="Age of the newest chunk",
            unit="s",
            queries={"{{camera}}": f"topk(20, sluice_camera_last_chunk_age_seconds{{{CAMERA}}})"},
            about="Since the end of the newest chunk that the store has: a chunk's length and a little is well.",
        ),
        Panel(
            title="Chunks lost",
            unit="short",
            queries={"{{reason}}": "sum by (reason) (increase(sluice_camera_dropped_total[$__rate_interval]))"},
            about="They will not arrive. 0 is the only good value.",
        ),
        Panel(
            title="Connections made anew",
            unit="short",
            queries={"{{camera}}": f"topk(20, increase(sluice_camera_connections_total{{{CAMERA}}}[10m]))"},
        ),
        Panel(
            title="Packets lost on the way",
            unit="short",
            queries={"{{camera}}": f"topk(20, rate(sluice_camera_packets_lost_total{{{CAMERA}}}[$__rate_interval]))"},
        ),
    ),
    "What is seen": (
        Panel(
            title="Objects by camera",
            unit="short",
            queries={
                "{{camera}} {{model}}": f"topk(20, {rate('sluice_objects_total', 'camera', 'model', where=CAMERA)})"
            },
            about="A second; an object counts in every frame that a model has looked at.",
        ),
        Panel(
            title="Frames in and out",
            unit="short",
            queries={
                "recorded": "sum(sluice_camera_fps)",
                "decoded": rate("sluice_frames_in_total"),
                "wanted by {{model}}": rate("sluice_frames_wanted_total", "model"),
                "looked at by {{model}}": rate("sluice_frames_looked_at_total", "model"),
            },
            about="A second, of all cameras. Between recorded and decoded lie the idle chunks.",
        ),
        Panel(
            title="Left out by load",
            unit="percentunit",
            queries={
                "{{model}}": f"1 - {rate('sluice_frames_looked_at_total', 'model')} "
                f"/ {rate('sluice_frames_wanted_total', 'model')}"
            },
            about="Of the frames that the cameras' settings ask for.",
        ),
        Panel(
            title="Wait before detect",
            unit="s",
            queries={
                "p50": quantile(0.5, "sluice_queue_age_seconds"),
                "p95": quantile(0.95, "sluice_queue_age_seconds"),
            },
            about="From the store's event to its arrival. At SLUICE_DETECT_LATE_S fewer frames are looked at.",
        ),
        Panel(
            title="Stages, p95",
            unit="s",
            queries={"{{part}} {{stage}}": quantile(0.95, "sluice_stage_seconds", "part", "stage")},
        ),
        Panel(
            title="Frames in a batch, mean",
            unit="short",
            queries={
                "{{model}}": f"{rate('sluice_batch_frames_sum', 'model')} "
                f"/ {rate('sluice_batch_frames_count', 'model')}"
            },
        ),
    ),
    "Functions": (
        Panel(
            title="Answers",
            unit="reqps",
            queries={"{{part}} {{code}}": rate("sluice_requests_total", "part", "code")},
            about="503 is later and comes again; 500 is a bug; 400 is no event.",
        ),
        Panel(
            title="Errors",
            unit="short",
            queries={"{{part}} {{kind}}": rate("sluice_errors_total", "part", "kind")},
        ),
        Panel(
            title="Time to answer, p95",
            unit="s",
            queries={"{{part}}": quantile(0.95, "sluice_handle_seconds", "part")},
        ),
        Panel(
            title="At work",
            unit="short",
            queries={"{{part}}": "sum by (part) (sluice_in_flight)"},
            stacked=True,
        ),
        Panel(
            title="Cold starts within the hour",
            unit="short",
            queries={"{{part}}": 'count by (part) (last_over_time(sluice_cold_start_seconds{to="ready"}[1h]))'},
            about="Instances that were seen; one that lived for less than a scrape is not.",
        ),
        Panel(
            title="Cold start",
            unit="s",
            queries={"{{part}} to {{to}}": "max by (part, to) (sluice_cold_start_seconds)"},
            about="From the start of the process; what the cluster needs before that is not in it.",
        ),
    ),
    "Events": (
        Panel(
            title="Events",
            unit="short",
            queries={
                "in, {{copy}} copy": rate("sluice_bridge_in_total", "copy"),
                "out, {{code}}": rate("sluice_bridge_out_total", "code"),
            },
            about="Each chunk is announced twice: first and again are equal when both lanes work.",
        ),
        Panel(
            title="On their way, p95",
            unit="s",
            queries={
                "to the stream": quantile(0.95, "sluice_bridge_in_age_seconds"),
                "to the Broker": quantile(0.95, "sluice_bridge_out_age_seconds"),
            },
        ),
        Panel(
            title="Dead letters",
            unit="short",
            queries={"kept": "sum(increase(sluice_bridge_dead_letters_total[10m]))"},
            about="sluice deadletter list says why.",
        ),
        Panel(
            title="Come again, refused, left aside",
            unit="short",
            queries={
                "again, {{pump}}": rate("sluice_bridge_retried_total", "pump"),
                "refused, {{stream}}": rate("sluice_bridge_rejected_total", "stream"),
                "left aside, {{reason}}": rate("sluice_bridge_ignored_total", "reason"),
            },
        ),
        Panel(
            title="Announced again by the sweeper",
            unit="short",
            queries={"chunks": "sum(increase(sluice_sweep_announced_total[10m]))"},
            about="What got lost on the way. Some after a fault; always some is a fault.",
        ),
        Panel(
            title="Cameras left out of a round",
            unit="short",
            queries={"sweep": "max(sluice_sweep_left_out)", "index": "max(sluice_index_left_out)"},
            about="A round had no time for them, or trouble with them.",
        ),
    ),
    "Live": (
        Panel(
            title="Chunks listed",
            unit="short",
            queries={
                "listed": rate("sluice_package_listed_total"),
                "gaps": rate("sluice_package_gaps_total"),
                "too long": rate("sluice_package_long_total"),
            },
        ),
        Panel(
            title="Live lists written twice",
            unit="short",
            queries={"{{part}}": rate("sluice_fold_conflicts_total", "part")},
            about="Two instances took chunks of one camera at once; the second did it again.",
        ),
        Panel(
            title="Hours indexed",
            unit="short",
            queries={"written": "sum(increase(sluice_index_written_total[1h]))"},
        ),
    ),
    "Store": (
        Panel(
            title="Uploads",
            unit="short",
            queries={
                "cut": rate("sluice_camera_chunks_total"),
                "stored": rate("sluice_camera_stored_total"),
            },
            about="Chunks a second.",
        ),
        Panel(
            title="Spool",
            unit="bytes",
            queries={"on disk": "sum(sluice_camera_spool_bytes)"},
            about="It grows while the store is away.",
        ),
        Panel(
            title="Chunks in the spool",
            unit="short",
            queries={"{{camera}}": f"topk(20, sluice_camera_spooled{{{CAMERA}}})"},
        ),
        Panel(
            title="Time to answer, p95",
            unit="s",
            queries={"{{part}} {{action}}": quantile(0.95, "sluice_store_seconds", "part", "action")},
            about="As the functions see it.",
        ),
        Panel(
            title="Errors",
            unit="short",
            queries={"{{part}} {{action}}": rate("sluice_store_errors_total", "part", "action")},
        ),
        Panel(
            title="MinIO",
            unit="reqps",
            queries={
                "{{api}}": rate("minio_s3_requests_total", "api"),
                "{{api}}, 5xx": rate("minio_s3_requests_5xx_errors_total", "api"),
            },
            about="Of components/minio only.",
        ),
    ),
    "Triton": (
        Panel(
            title="Frames",
            unit="short",
            queries={"{{model}}": rate("nv_inference_count", "model")},
            about="A second.",
        ),
        Panel(
            title="Time of a request",
            unit="µs",
            queries={
                "waits, {{model}}": f"{rate('nv_inference_queue_duration_us', 'model')} "
                f"/ {rate('nv_inference_request_success', 'model')}",
                "in all, {{model}}": f"{rate('nv_inference_request_duration_us', 'model')} "
                f"/ {rate('nv_inference_request_success', 'model')}",
            },
            about="When the wait grows, an instance more of the model helps.",
        ),
        Panel(
            title="Failed",
            unit="reqps",
            queries={"{{model}} {{reason}}": rate("nv_inference_request_failure", "model", "reason")},
        ),
    ),
}


def rendered() -> str:
    """The dashboard as Grafana imports it."""
    panels: list[dict[str, Any]] = []
    top = 0
    for row, held in ROWS.items():
        panels.append(_placed({"type": "row", "title": row, "collapsed": False, "panels": []}, 0, top, COLUMNS, 1))
        left, top = 0, top + 1
        for panel in held:
            if left + WIDTH > COLUMNS:
                left, top = 0, top + HEIGHT
            panels.append(_placed(_graph(panel), left, top, WIDTH, HEIGHT))
            left += WIDTH
        top += HEIGHT
    for number, each in enumerate(panels, 1):
        each["id"] = number
    whole = {
        "uid": "sluice",
        "title": "Sluice",
        "tags": ["sluice"],
        "editable": True,
        "schemaVersion": 39,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {"list": [_source(), _cameras()]},
        "panels": panels,
    }
    return json.dumps(whole, indent=1, ensure_ascii=False) + "\n"


def _placed(panel: dict[str, Any], left: int, top: int, width: int, height: int) -> dict[str, Any]:
    return {**panel, "gridPos": {"x": left, "y": top, "w": width, "h": height}}


def _graph(panel: Panel) -> dict[str, Any]:
    drawn = {"stacking": {"mode": "normal" if panel.stacked else "none"}, "fillOpacity": 20 if panel.stacked else 0}
    return {
        "type": "timeseries",
        "title": panel.title,
        "description": panel.about,
        "datasource": SOURCE,
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0, "custom": drawn}, "overrides": []},
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}},
        "targets": [
            {"refId": chr(ord("A") + n), "datasource": SOURCE, "expr": query, "legendFormat": legend}
            for n, (legend, query) in enumerate(panel.queries.items())
        ],
    }


def _source() -> dict[str, Any]:
    return {"name": "source", "type": "datasource", "query": "prometheus", "label": "Prometheus"}


def _cameras() -> dict[str, Any]:
    return {
        "name": "camera",
        "type": "query",
        "datasource": SOURCE,
        "query": "label_values(sluice_camera_fps, camera)",
        "refresh": 2,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
    }


if __name__ == "__main__":
    Path(__file__).with_suffix(".json").write_text(rendered(), "utf-8")
