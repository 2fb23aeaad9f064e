"""Store and NATS for a command: as administrator of the local runtime, else as whoever the environment names."""

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from sluice.bus import Bus, NatsBus
from sluice.errors import SettingsError, SluiceError
from sluice.local.state import read_runtime
from sluice.preparation.access import ADMIN
from sluice.preparation.secrets import load_or_create
from sluice.settings import BusSettings, StoreSettings, load_all, setting
from sluice.store import ObjectStore, S3Store


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmenterAddress:
    """Where the commands find the segmenter of a cluster; the local runtime knows its own."""

    url: str = setting("SLUICE_SEGMENTER_URL", "the segmenter, for the command line, as http(s)://host:port", "")
    rtmp_url: str = setting(
        "SLUICE_SEGMENTER_RTMP_URL", "its RTMP port, for the command line, as rtmp(s)://host:port", ""
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Administrator:
    """What a command may use; closed when the command ends."""

    store: ObjectStore
    bus: Bus
    segmenter_url: str
    """Empty: nobody knows where it is."""
    rtmp_url: str


@contextmanager
def administrator(state: Path) -> Iterator[Administrator]:
    """Connect lazily; raises SluiceError when neither a runtime in *state* nor the environment says where."""
    runtime = read_runtime(state)
    if runtime is None:
        environment, found = dict(os.environ), {"url": "", "rtmp_url": ""}
    else:
        admin = load_or_create(state / "secrets").part(ADMIN)
        endpoints = runtime["endpoints"]
        environment = {**runtime["configmap"], **admin}
        found = {"url": endpoints.get("workloads", {}).get("segmenter", ""), "rtmp_url": endpoints.get("rtmp", "")}
    try:
        store_settings, bus_settings = load_all(StoreSettings, BusSettings, environ=environment)
    except SettingsError as error:
        problems = "; ".join(error.problems)
        raise SluiceError(f"no runtime runs in {state} (sluice up), and no cluster is named: {problems}") from error
    (named,) = load_all(SegmenterAddress)
    url = found["url"] or named.url
    rtmp_url = found["rtmp_url"] or named.rtmp_url or _rtmp_of(url)
    with closing(S3Store(store_settings)) as store, closing(NatsBus(bus_settings, name="sluice")) as bus:
        yield Administrator(store=store, bus=bus, segmenter_url=url, rtmp_url=rtmp_url)


def _rtmp_of(url: str) -> str:
    host = urlsplit(url).hostname
    return f"rtmp://{host}:1935" if host else ""
