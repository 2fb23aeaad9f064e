"""`make bench`: one labelled figure a line, the budgets of the design beside them.

PUT return to function entry: a warm function that only notes the time. Cold start: the shipped inspect at zero, from
the request's arrival at its address to its first answer, and the same process's import time.
"""

import re
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import pytest

from sluice import events
from tests.builders import a_chunk, a_chunk_name, a_chunk_stored
from tests.services.line import Line, copy_manifests, eventually

CHUNKS = 200
COLD_STARTS = 7
ENTRY = """\
apiVersion: serving.knative.dev/v1
kind: Service
metadata:
  name: entry
spec:
  template:
    metadata:
      annotations:
        autoscaling.knative.dev/min-scale: "1"
    spec:
      containerConcurrency: 4
      containers:
        - image: sluice:dev
          command: [python, -m, sluice.serving, tests.data.functions.entry]
          env:
            - name: SLUICE_CONCURRENCY
              value: "4"
            - name: ENTRY_JOURNAL
              value: {journal}
---
apiVersion: eventing.knative.dev/v1
kind: Trigger
metadata:
  name: chunk-stored-to-entry
spec:
  broker: default
  filters:
    - exact:
        type: dev.sluice.chunk.stored.v1
  subscriber:
    ref:
      apiVersion: serving.knative.dev/v1
      kind: Service
      name: entry
"""


def say(what: str, value: float, unit: str, budget: str = "") -> None:
    """One figure a line."""
    print(f"{what}: {value:.1f} {unit}" + (f"  (budget {budget})" if budget else ""), flush=True)


def share(sorted_values: list[float], of: float) -> float:
    """The value below which that share lies."""
    return sorted_values[min(len(sorted_values) - 1, int(of * len(sorted_values)))]


def put_to_entry(line: Line, journal: Path) -> None:
    """200 chunks at 10/s, a session that goes on, so that inspect stays out of it."""
    init, body = a_chunk()
    store, returned = line.store(), dict[str, int]()
    warm = eventually("the entry function is up", lambda: line.instances("entry"))
    assert warm
    for n in range(CHUNKS):
        started = time.monotonic()
        name = a_chunk_name(
            camera="bench", start_ms=int(time.time() * 1000), session=1, seq=n + 1, activity="active", init=init
        )
        store.put(name.key, body, content_type="video/mp4")
        returned[name.key] = time.time_ns()
        time.sleep(max(0, 0.1 - (time.monotonic() - started)))
    entered = dict[str, int]()

    def all_entered() -> bool:
        for row in journal.read_text().splitlines() if journal.exists() else []:
            at, key = row.split(" ", 1)
            entered.setdefault(key, int(at))
        return returned.keys() <= entered.keys()

    eventually("all chunks reached the function", all_entered)
    waits = sorted(max(0.0, (entered[key] - at) / 1e6) for key, at in returned.items())
    say("put to entry p50", share(waits, 0.50), "ms")
    say("put to entry p95", share(waits, 0.95), "ms", "15 ms")
    say("put to entry p99", share(waits, 0.99), "ms")


def cold_start(line: Line) -> None:
    """Each time from zero: the function's window has to pass in between."""
    url = line.runtime()["endpoints"]["services"]["inspect"]
    init, body = a_chunk()
    answers = list[float]()
    for n in range(COLD_STARTS):
        name = a_chunk_name(
            camera="cold", start_ms=int(time.time() * 1000), session=n + 1, seq=n + 1, activity="active", init=init
        )
        line.store().put(name.key, body, content_type="video/mp4")
        eventually("inspect is at zero", lambda: not line.instances("inspect"), within_s=180)
        headers, data = events.to_http(
            a_chunk_stored("cold", start_ms=name.start_ms, session=n + 1, seq=n + 1, activity="active", init=name.init)
        )
        request = urllib.request.Request(url, data=data, headers=headers, method="POST")
        started = time.perf_counter()
        with urllib.request.urlopen(request, timeout=30) as answer:
            assert answer.status == 200
            answer.read()
        answers.append((time.perf_counter() - started) * 1000)
    say("cold start to first answer p50", statistics.median(answers), "ms", "700 ms")
    say("cold start to first answer max", max(answers), "ms")


def import_time() -> None:
    """What starting inspect imports before it can serve."""
    command = [sys.executable, "-X", "importtime", "-c", "import functions.inspect.app"]
    log = subprocess.run(command, check=True, capture_output=True, text=True).stderr
    total = re.findall(r"\|\s+(\d+) \| functions\.inspect\.app", log)
    say("import of inspect", int(total[-1]) / 1000, "ms")


def main() -> None:
    """Run all of it on a line of its own."""
    import_time()
    with tempfile.TemporaryDirectory(prefix="sluice-bench-") as folder:
        line, journal = Line(Path(folder)), Path(folder) / "journal"
        copy_manifests(line)
        inspect = line.manifests / "inspect.yaml"
        inspect.write_text(re.sub(r'(autoscaling.knative.dev/window: )"\w+"', r'\1"6s"', inspect.read_text()))
        (line.manifests / "entry.yaml").write_text(ENTRY.format(journal=journal))
        line.start()
        try:
            put_to_entry(line, journal)
            cold_start(line)
        finally:
            line.stop()


if __name__ == "__main__":
    try:
        main()
    except pytest.fail.Exception as error:
        sys.exit(str(error))
