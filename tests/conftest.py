"""Real services as fixtures: a missing one is skipped by name on a laptop, and fails in CI."""

pytest_plugins = [
    "tests.services.minio",
    "tests.services.nats",
    "tests.services.triton",
    "tests.services.line",
    "tests.services.rtsp",
]
