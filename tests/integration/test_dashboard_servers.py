"""The dashboard's metrics of MinIO and Triton, as these servers show them."""

import re
import time
from typing import Final

import numpy as np
import pytest

from sluice.errors import ObjectNotFoundError
from sluice.inference import TritonDetector
from sluice.settings import DetectorSettings, StoreSettings
from sluice.store import S3Store
from tests.services.metrics import minio_token, page
from tests.services.minio import MinioServer
from tests.services.triton import TritonServer
from tests.unit.test_dashboard import OF_OTHERS

SAMPLE: Final = re.compile(r"^(?P<name>\w+)\{(?P<labels>.*)\} \S+$", re.MULTILINE)
MINIO_CACHES_S: Final = 15
"""Its page is up to ten seconds old."""


def shown(text: str) -> dict[str, set[str]]:
    """Labels by the name of the samples, as they stand there: prometheus_client would add _total to Triton's."""
    found: dict[str, set[str]] = {}
    for sample in SAMPLE.finditer(text):
        found.setdefault(sample["name"], set()).update(re.findall(r'(\w+)="', sample["labels"]))
    return found


def test_minio_counts_requests_and_their_errors_by_api(
    minio_server: MinioServer, store_settings: StoreSettings
) -> None:
    """With a token only. Errors of the 4xx are named as those of the 5xx, which no sound server can be made to show."""
    store = S3Store(store_settings)
    with pytest.raises(ObjectNotFoundError):
        store.get("nothing")
    token = minio_token(minio_server.root_user, minio_server.root_password)
    wanted = {"minio_s3_requests_total", "minio_s3_requests_4xx_errors_total"}

    deadline = time.monotonic() + MINIO_CACHES_S
    while not wanted <= (found := shown(page(f"{minio_server.url}/minio/v2/metrics/cluster", token=token))).keys():
        assert time.monotonic() < deadline, sorted(each for each in found if "s3_requests" in each)
        time.sleep(0.5)

    of_minio = {name.replace("5xx", "4xx"): labels for name, labels in OF_OTHERS.items() if name.startswith("minio_")}
    assert {name: labels for name, labels in of_minio.items() if not labels <= found.get(name, set())} == {}


def test_triton_counts_frames_waits_and_failures_by_model(triton_server: TritonServer) -> None:
    """Also of a model that was asked once."""
    detector = TritonDetector(DetectorSettings(url=triton_server.url))
    detector.detect("squares", np.zeros((1, 90, 160, 3), np.uint8))
    detector.close()

    found = shown(page(f"http://127.0.0.1:{triton_server.ports.metrics}/metrics"))

    of_triton = {name: labels for name, labels in OF_OTHERS.items() if name.startswith("nv_")}
    assert {name: labels for name, labels in of_triton.items() if not labels <= found.get(name, set())} == {}
