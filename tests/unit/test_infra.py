"""The cluster's manifests, as files: what every pod may do, and what stands in two places agrees."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from sluice.local.manifests.reader import read
from sluice.local.minio import NatsTarget, minio_program
from sluice.local.nats import nats_config
from sluice.local.tools import ROOT
from sluice.preparation.access import PARTS
from tests.manifests import FUNCTIONS, KNATIVE, OVERLAYS, documents, gather, ksvc

REFERENCES = {"configMapRef": "ConfigMap", "secretRef": "Secret"}
KEY_REFERENCES = {"configMapKeyRef": "ConfigMap", "secretKeyRef": "Secret"}


def workloads() -> list[Any]:
    found = [*gather(OVERLAYS / "local").containers(), *gather(OVERLAYS / "production").containers()]
    return [pytest.param(pod, container, id=f"{index}-{name}") for index, (name, pod, container) in enumerate(found)]


@pytest.mark.parametrize(("pod", "container"), workloads())
def test_no_container_may_more_than_it_needs(pod: dict[str, Any], container: dict[str, Any]) -> None:
    """Whoever takes it over is nobody on the node, and finds nothing to write to."""
    own, whole = container["securityContext"], pod.get("securityContext", {})

    assert own["allowPrivilegeEscalation"] is False
    assert own["capabilities"] == {"drop": ["ALL"]}
    assert own["readOnlyRootFilesystem"] is True
    assert own.get("runAsNonRoot", whole.get("runAsNonRoot")) is True
    assert own.get("seccompProfile", whole.get("seccompProfile")) == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    assert "limits" in container["resources"]


@pytest.mark.parametrize("overlay", ["local", "production"])
def test_an_overlay_has_what_its_pods_refer_to(overlay: str) -> None:
    """A reference to nothing keeps a pod from starting, for ever."""
    found = gather(OVERLAYS / overlay)
    there = set(found.generated) | {f"{each['kind']}/{each['metadata']['name']}" for each in found.documents}

    wanted = set()
    for _, pod, container in found.containers():
        for source in container.get("envFrom", ()):
            wanted |= {f"{kind}/{source[f]['name']}" for f, kind in REFERENCES.items() if f in source}
        for variable in container.get("env", ()):
            source = variable.get("valueFrom", {})
            wanted |= {f"{kind}/{source[f]['name']}" for f, kind in KEY_REFERENCES.items() if f in source}
        for volume in pod.get("volumes", ()):
            wanted |= {f"ConfigMap/{volume['configMap']['name']}"} if "configMap" in volume else set()
            wanted |= {f"Secret/{volume['secret']['secretName']}"} if "secret" in volume else set()

    assert wanted - there == set()
    assert len(wanted) > len(FUNCTIONS)


@pytest.mark.parametrize("overlay", ["local", "production"])
def test_an_overlay_has_the_secrets_of_every_part(overlay: str) -> None:
    """As `sluice init --secrets` writes them; the Job gets them all."""
    found = gather(OVERLAYS / overlay).generated

    envs = {name: each["envs"] for name, each in found.items() if name.startswith("Secret/") and "envs" in each}
    assert envs == {f"Secret/sluice-{part}": [f"secrets/{part}.env"] for part in PARTS}
    assert sorted(found["Secret/sluice-init"]["files"]) == sorted(f"secrets/{part}.env" for part in PARTS)


def test_both_overlays_say_where_the_servers_are() -> None:
    """Whoever copies the example has every setting that the parts need."""
    local = {each.partition("=")[0] for each in gather(OVERLAYS / "local").generated["ConfigMap/sluice"]["literals"]}
    example = (OVERLAYS / "production" / "config.env.example").read_text("utf-8").splitlines()

    assert {each.partition("=")[0] for each in example if each and not each.startswith("#")} == local


def test_names_are_those_that_kn_finds() -> None:
    """Else there is a hash behind them, which only kustomize knows."""
    folders = [*OVERLAYS.iterdir(), ROOT / "triggers", KNATIVE / "components" / "nats"]
    for folder in folders:
        (found,) = documents(folder / "kustomization.yaml")
        for name in ("configMapGenerator", "secretGenerator"):
            for each in found.get(name, ()):
                options = found.get("generatorOptions", {}) | each.get("options", {})
                assert options.get("disableNameSuffixHash") is True, f"{folder.name}: {each['name']}"


def test_a_broker_on_jetstream_waits_longer_than_any_function_behind_a_trigger() -> None:
    """Else an event that is being worked on is sent again."""
    (channel,) = documents(KNATIVE / "components" / "jetstream-broker" / "channel.yaml")
    wait = yaml.safe_load(channel["data"]["channelTemplateSpec"])["spec"]["consumerConfigTemplate"]["ackWait"]
    called = {
        each["spec"]["subscriber"]["ref"]["name"]
        for path in (ROOT / "triggers").glob("*-to-*.yaml")
        for each in documents(path)
    }

    assert called == {"inspect", "detect", "package"}
    assert int(wait.removesuffix("s")) > max(
        ksvc(each)["spec"]["template"]["spec"]["timeoutSeconds"] for each in called
    )


def test_minio_announces_as_the_local_runtimes_does(tmp_path: Path) -> None:
    """The same variables, but for addresses, folders and secrets."""
    targets = [
        NatsTarget(id=lane, address="nats:4222", subject=f"sluice.intake.{lane.lower()}", user="", password="",
                   queue=lane == "SURE")
        for lane in ("FAST", "SURE")
    ]  # fmt: skip
    local = minio_program(
        binary=tmp_path, data=tmp_path, port=9000, log=tmp_path, root_user="", root_password="", region="",
        queue_dir=tmp_path, notify=targets,
    ).environment  # fmt: skip
    (container,) = [c for name, _, c in gather(OVERLAYS / "local").containers() if name == "minio"]
    cluster = {each["name"]: each.get("value") for each in container["env"]}

    assert set(cluster) == set(local)
    plain = {name for name, value in cluster.items() if value is not None and "QUEUE_DIR" not in name}
    assert {name: cluster[name] for name in plain} == {name: local[name] for name in plain}
    assert len(plain) == 10
    # Beside the objects: within them it would be a bucket.
    assert cluster["MINIO_NOTIFY_NATS_QUEUE_DIR_SURE"] == "/data/announcements/SURE"
    assert container["args"][-1] == "/data/objects"


def test_nats_keeps_what_it_acknowledges_as_the_local_runtimes_does() -> None:
    """Limits and fsync are the same."""
    found = (KNATIVE / "components" / "nats" / "nats.conf").read_text("utf-8")
    local = nats_config(port=4222, store=Path("/data"), users=(), websocket_port=8443)

    def kept(text: str) -> list[str]:
        block = text[text.index("jetstream {") : text.index("}")]
        return re.findall(r"^  (\w+: .*)$", block, re.MULTILINE)

    assert kept(found) == kept(local)
    assert "sync_interval: always" in kept(found)


def test_the_local_runtime_reads_what_the_cluster_gets() -> None:
    """Every function and Trigger, and refuses no field of them."""
    values = {f"Secret/sluice-{part}": dict[str, str]() for part in PARTS} | {"ConfigMap/sluice": {}}

    found = read([KNATIVE / "base", ROOT / "triggers"], values)

    assert set(found.functions) == set(FUNCTIONS)
    assert {each.subscriber.name for each in found.triggers.values()} == {"inspect", "detect", "package"}
    assert {each.rsplit(" ", 1)[1] for each in found.skipped} == {"Job", "Kustomization", "Namespace", "Service"}
