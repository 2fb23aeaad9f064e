"""Manifests are read strictly: what is not understood is refused by file, line and name."""

from pathlib import Path
from typing import Any

import pytest

from sluice.local.manifests.reader import ManifestError, read
from sluice.local.manifests.specs import Manifests

VALUES = {"ConfigMap/sluice": {"SLUICE_BUCKET": "sluice"}, "Secret/sluice-inspect": {"KEY": "secret"}}
KSVC = """apiVersion: serving.knative.dev/v1
kind: Service
metadata:
  name: look
  namespace: cameras
spec:
  template:
    metadata:
      annotations:
        autoscaling.knative.dev/window: 30s
        autoscaling.knative.dev/max-scale: "4"
    spec:
      containerConcurrency: 2
      containers:
        - command: [python, -m, look]
          envFrom:
            - configMapRef:
                name: sluice
          env:
            - name: KEY
              valueFrom:
                secretKeyRef:
                  name: sluice-inspect
                  key: KEY
"""
BROKER = """apiVersion: eventing.knative.dev/v1
kind: Broker
metadata:
  name: default
spec:
  delivery:
    retry: 4
"""
TRIGGER = """apiVersion: eventing.knative.dev/v1
kind: Trigger
metadata:
  name: seen-to-look
spec:
  broker: default
  filters:
    - exact:
        type: seen
  subscriber:
    ref:
      apiVersion: serving.knative.dev/v1
      kind: Service
      name: look
  delivery:
    backoffDelay: PT1M0.5S
"""
PING = """apiVersion: sources.knative.dev/v1
kind: PingSource
metadata:
  name: nightly
spec:
  schedule: "0 3 * * *"
  timezone: Europe/Berlin
  data: '{}'
  sink:
    ref:
      apiVersion: eventing.knative.dev/v1
      kind: Broker
      name: default
"""
DEPLOYMENT = """apiVersion: apps/v1
kind: StatefulSet
metadata:
  name: segmenter
spec:
  replicas: 2
  template:
    spec:
      containers:
        - command: [python, -m, segmenter]
"""
BINDING = """apiVersion: sources.knative.dev/v1
kind: SinkBinding
metadata:
  name: segmenter
spec:
  subject:
    apiVersion: apps/v1
    kind: StatefulSet
    name: segmenter
  sink:
    ref:
      apiVersion: eventing.knative.dev/v1
      kind: Broker
      name: default
"""
SKIPPED = """apiVersion: v1
kind: Service
metadata: {name: segmenter, whatever: [it, says]}
"""


def read_text(folder: Path, *documents: str) -> Manifests:
    """Read documents from one file."""
    (folder / "all.yaml").write_text("---\n".join(documents))
    return read([folder], VALUES)


def problems(folder: Path, *documents: str) -> list[str]:
    """Why they are refused, without the folder."""
    with pytest.raises(ManifestError) as caught:
        read_text(folder, *documents)
    return [str(each).removeprefix(f"{folder}/") for each in caught.value.problems]


def test_every_kind_is_read(tmp_path: Path) -> None:
    """Several documents a file; references are resolved, whatever order they stand in."""
    found = read_text(tmp_path, TRIGGER, KSVC, BROKER, PING, BINDING, DEPLOYMENT, SKIPPED)

    look = found.functions["look"]
    assert look.command.argv == ("python", "-m", "look")
    assert look.command.environment == {"SLUICE_BUCKET": "sluice", "KEY": "secret"}
    assert (look.concurrency, look.timeout_s, look.scale.window_s, look.scale.maximum) == (2, 300, 30, 4)
    assert look.scale.target == pytest.approx(1.4)
    assert found.pings["nightly"].data == b"{}"
    assert found.workloads["segmenter"].replicas == 2
    assert found.workloads["segmenter"].sink is not None
    assert found.skipped == (f"{tmp_path}/all.yaml:91: Service",)


def test_a_trigger_takes_from_its_broker_and_from_knative_what_it_does_not_say(tmp_path: Path) -> None:
    """Delay from the Trigger, number of retries from the Broker, the policy by default."""
    delivery = read_text(tmp_path, TRIGGER, KSVC, BROKER).triggers["seen-to-look"].delivery

    assert (delivery.delay_s, delivery.retry, delivery.policy) == (60.5, 4, "exponential")
    assert [delivery.pause_s(n) for n in range(3)] == [60.5, 121, 242]


def test_kustomizations_are_skipped_by_name(tmp_path: Path) -> None:
    """Whatever stands in them."""
    (tmp_path / "kustomization.yaml").write_text("resources: [a.yaml]\n")

    assert read([tmp_path], VALUES).skipped == (f"{tmp_path}/kustomization.yaml: Kustomization",)


REFUSED: list[Any] = [
    pytest.param("timeoutSecond: 5", "13: spec.template.spec.timeoutSecond: unknown field", id="unknown-field"),
    pytest.param("timeoutSeconds: 601", "13: spec.template.spec.timeoutSeconds: expected a number", id="too-long"),
    pytest.param("containerConcurrency: 1001", "expected a number from 0 to 1000", id="too-many-at-once"),
    pytest.param("containerConcurrency: yes", "expected a number from 0 to 1000, found 'yes'", id="not-a-number"),
    pytest.param("initContainers: []", "initContainers: unknown field", id="knative-refuses-it-too"),
]


@pytest.mark.parametrize(("line", "expected"), REFUSED)
def test_a_field_out_of_the_tables_is_refused(tmp_path: Path, line: str, expected: str) -> None:
    """By file, line and name."""
    [problem] = problems(tmp_path, KSVC.replace("containerConcurrency: 2", line))

    assert problem.startswith("all.yaml:13: spec.template.spec.")
    assert expected in problem


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        pytest.param('"4"', "4", "max-scale: expected text, found '4'; quote it: '4'", id="a-number-as-annotation"),
        pytest.param("window: 30s", "window: 5s", "expected a value from 6 to 3600, found '5s'", id="short-window"),
        pytest.param("window: 30s", "windows: 30s", "unknown or unsupported annotation", id="unknown-annotation"),
        pytest.param(
            '"4"', '"4"\n        autoscaling.knative.dev/min-scale: "5"', "5 is more than max-scale 4", id="min"
        ),
        pytest.param("name: KEY\n", "name: PORT\n", "PORT is given by the platform", id="reserved"),
        pytest.param("name: sluice\n", "name: other\n", "no ConfigMap 'other' here; there are sluice", id="configmap"),
        pytest.param("name: sluice-inspect", "name: mine", "no Secret 'mine' here", id="secret"),
        pytest.param("key: KEY", "key: LOCK", "Secret sluice-inspect has no key 'LOCK'", id="key"),
        pytest.param("command: [python, -m, look]", "image: x", "containers[0]: command is missing", id="no-command"),
        pytest.param("name: look", "name: Look", "metadata.name: expected a name", id="a-name"),
        pytest.param("name: look", "name: look\n  name: twice", "metadata.name: stands here twice", id="twice"),
        pytest.param("[python, -m, look]", "[python, $(WHO)]", "not expanded here", id="expansion"),
    ],
)
def test_what_knative_or_kubernetes_would_refuse_is_refused(tmp_path: Path, old: str, new: str, expected: str) -> None:
    """Where it is cheap to know, before anything runs."""
    found = problems(tmp_path, KSVC.replace(old, new, 1))

    assert expected in found[0]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        pytest.param(
            "type: seen", "type: seen\n      prefix:\n        type: s", "one dialect an item", id="two-dialects"
        ),
        pytest.param("exact:\n        type: seen", "cesql: type = 'seen'", "CESQL is not spoken here", id="cesql"),
        pytest.param("type: seen", "Type: seen", "small letters and digits only", id="a-capital"),
        pytest.param("type: seen", "type: 1", "expected text, found '1'; quote it", id="a-number"),
        pytest.param("exact:\n        type: seen", "any: []", "a list of 1 or more", id="any-of-nothing"),
        pytest.param("broker: default", "broker: other", "no Broker 'other'", id="no-broker"),
        pytest.param("name: look", "name: book", "no ksvc 'book'", id="no-function"),
        pytest.param("PT1M0.5S", "1s", "expected a duration such as PT0.2S", id="another-duration"),
        pytest.param("backoffDelay", "retryAfterMax", "alpha feature", id="alpha"),
        pytest.param("  filters:\n    - exact:\n        type: seen", "  filters:\n    exact: {}", "a list", id="a-map"),
    ],
)
def test_a_trigger_that_cannot_work_is_refused(tmp_path: Path, old: str, new: str, expected: str) -> None:
    """Also when its Broker or subscriber is not in the manifests."""
    found = problems(tmp_path, TRIGGER.replace(old, new, 1), KSVC, BROKER)

    assert expected in found[0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(
            "kind: Pod\napiVersion: v1\n", "all.yaml:1: kind: v1 Pod is unknown to the local runtime", id="kind"
        ),
        pytest.param("a: [", "all.yaml:1: document: expected the node content", id="broken"),
        pytest.param("- a\n", "all.yaml:1: kind: nothing nothing is unknown", id="a-list"),
        pytest.param(
            KSVC.replace("serving.knative.dev/v1", "serving.knative.dev/v2"), "v2 Service is unknown", id="api"
        ),
        pytest.param(KSVC + "---\n" + KSVC, "all.yaml:29: metadata.name: ksvc look stands in", id="twice"),
        pytest.param(PING.replace("0 3", "0 33") + "---\n" + BROKER, "spec.schedule: expected a cron", id="cron"),
        pytest.param(PING.replace("Europe/Berlin", "Mars") + "---\n" + BROKER, "and a timezone", id="timezone"),
    ],
)
def test_a_document_that_is_no_manifest_is_refused(tmp_path: Path, text: str, expected: str) -> None:
    """By line, with what was found."""
    assert expected in problems(tmp_path, text)[0]


def test_every_problem_is_named_not_only_the_first(tmp_path: Path) -> None:
    """One run, all of them."""
    broken = KSVC.replace("containerConcurrency", "concurrency").replace("command:", "commands:")

    assert len(problems(tmp_path, broken)) == 3
