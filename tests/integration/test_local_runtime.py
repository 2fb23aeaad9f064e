"""`sluice up` plays Knative: observed from outside, on manifests that no part of Sluice knows."""

import base64
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from sluice.bus import NatsBus
from sluice.local import tools
from sluice.preparation.secrets import load_or_create
from sluice.settings import BusSettings
from tests.services.line import eventually

pytestmark = pytest.mark.nats

ROOT = Path(__file__).parent.parent.parent
MANIFESTS = ROOT / "tests" / "data" / "manifests"


class Local:
    """A local runtime with NATS alone, and a folder of manifests to change."""

    def __init__(self, home: Path) -> None:
        self.home, self.state, self.manifests = home, home / "state", home / "manifests"
        self.manifests.mkdir()
        self.process: subprocess.Popen[bytes] | None = None
        self.write("broker")

    def write(self, template: str, *, file: str = "", **values: str) -> Path:
        """Fill in a manifest of tests/data/manifests and put it where the runtime looks."""
        text = (MANIFESTS / f"{template}.yaml").read_text().replace("HOME", str(self.home))
        for name, value in values.items():
            text = text.replace(name, value)
        path = self.manifests / f"{file or template}.yaml"
        path.write_text(text)
        return path

    def echo(self, name: str, *, answers: str = "204", type: str = "") -> Path:  # noqa: A002 (the attribute's name)
        """Drop in a function and its Trigger, and wait until they are obeyed."""
        path = self.write("echo", file=name, NAME=name, ANSWERED=answers, TYPE=type or name)
        eventually(f"{name} is known", lambda: f"{type or name}-to-{name}" in self.status()["triggers"])
        return path

    def command(self, *arguments: str) -> list[str]:
        """The sluice command for this runtime."""
        return [sys.executable, "-m", "sluice.cli.main", *arguments, "--state", str(self.state)]

    def sluice(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return subprocess.run(
            self.command(*arguments), capture_output=True, text=True, check=False, cwd=ROOT, timeout=60
        )

    def up(self) -> "subprocess.CompletedProcess[str]":
        """Start in the foreground, where it should end by itself."""
        return self.sluice("up", "--no-minio", "--no-triton", "--manifests", str(self.manifests))

    def start(self) -> None:
        """Start and wait until it is ready."""
        command = self.command("up", "--no-minio", "--no-triton", "--manifests", str(self.manifests))
        with (self.home / "up.log").open("ab") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=ROOT)
        eventually("the runtime is ready", self._is_ready)

    def _is_ready(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.output()
        return self.sluice("status").returncode == 0

    def output(self) -> str:
        """What `sluice up` printed."""
        return (self.home / "up.log").read_text()

    def kill(self, *, everything: bool = True) -> None:
        """SIGKILL to the runtime, and to all that it started."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        for path in (self.state / "run").glob("*.json") if everything else ():
            os.killpg(json.loads(path.read_text())["pid"], signal.SIGKILL)

    def stop(self) -> None:
        """As Ctrl-C does."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(60)

    def status(self) -> dict[str, Any]:
        """What `sluice status --json` says."""
        runtime = json.loads((self.state / "runtime.json").read_text())
        with urllib.request.urlopen(runtime["endpoints"]["admin"] + "/status", timeout=10) as answer:
            found: dict[str, Any] = json.load(answer)
        return found

    def bus(self) -> NatsBus:
        """NATS, as its administrator."""
        mine = load_or_create(self.state / "secrets").part("admin")
        url = json.loads((self.state / "runtime.json").read_text())["endpoints"]["nats"]
        return NatsBus(BusSettings(url=url, user=mine["SLUICE_NATS_USER"], password=mine["SLUICE_NATS_PASSWORD"]))

    def instances(self, name: str) -> list[int]:
        """The processes of a function."""
        pids: list[int] = self.status()["services"][name]["instances"]
        return pids

    def post(self, type: str, id: str = "1", **headers: str) -> int:  # noqa: A002 (the attributes' names)
        """Send an event to the Broker; returns the status."""
        url = json.loads((self.state / "runtime.json").read_text())["endpoints"]["brokers"]["default"]
        given = {"ce-specversion": "1.0", "ce-id": id, "ce-source": "/test", "ce-type": type, **headers}
        request = urllib.request.Request(url, b'{"a":1}', {"content-type": "application/json", **given})
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code

    def journal(self, name: str) -> list[dict[str, Any]]:
        """The events that a function saw."""
        path = self.home / name
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def letters(self, type: str) -> list[dict[str, Any]]:  # noqa: A002 (the attribute's name)
        """The dead letters of a type."""
        return [each for each in self.journal("letters") if each["type"] == type]


@pytest.fixture(scope="module", autouse=True)
def nats_is_here() -> None:
    """Every test here starts a real one."""
    if tools.find_nats_server() is None:
        reason = "nats-server is missing: make tools"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Local]:
    """A running runtime."""
    local = Local(tmp_path_factory.mktemp("local"))
    local.start()
    local.write("ping")
    try:
        yield local
    finally:
        local.stop()


def test_an_unknown_function_is_obeyed_and_scales_from_zero_and_back(local: Local) -> None:
    """No process before the event, one after it, none after its window; a changed filter holds at once."""
    path = local.echo("stranger")
    assert local.instances("stranger") == []

    assert local.post("stranger") == 202

    seen = eventually("the event came", lambda: local.journal("stranger"))[0]
    assert (seen["id"], seen["data"], seen["source"]) == ("1", '{"a":1}', "/test")
    assert local.instances("stranger") == [seen["pid"]]

    path.write_text(path.read_text().replace("type: stranger", "type: other"))
    eventually("the new filter holds", lambda: _comes(local, "other", "stranger"))
    filtered = local.status()["triggers"]["stranger-to-stranger"]["filtered"]
    local.post("stranger", id="unwanted")
    eventually("it is filtered", lambda: local.status()["triggers"]["stranger-to-stranger"]["filtered"] > filtered)

    assert not [each for each in local.journal("stranger") if each["id"] == "unwanted"]
    eventually("no instance is left", lambda: local.instances("stranger") == [], within_s=20)
    eventually("its process is gone", lambda: not Path(f"/proc/{seen['pid']}").exists())


def _comes(local: Local, kind: str, name: str) -> bool:
    local.post(kind)
    time.sleep(0.2)  # one event each fifth of a second until one passes the changed filter
    return any(each["type"] == kind for each in local.journal(name))


def test_a_field_that_it_does_not_know_stops_the_start_by_file_line_and_name(tmp_path: Path) -> None:
    """Nothing is started; every problem is named."""
    local = Local(tmp_path)
    path = local.write("echo", file="odd", NAME="odd", ANSWERED="204", TYPE="odd")
    path.write_text(path.read_text().replace("containerConcurrency: 1", "containerConcurency: 1"))

    done = local.up()

    assert done.returncode == 1
    assert f"{path}:13: spec.template.spec.containerConcurency: unknown field" in done.stderr
    assert not list((local.state / "run").iterdir())


def test_a_bad_manifest_while_running_is_reported_and_the_last_good_one_stays(local: Local) -> None:
    """An unknown kind among good files changes nothing but the report."""
    bad = local.manifests / "bad.yaml"

    bad.write_text("apiVersion: v1\nkind: ReplicationController\nmetadata: {name: x}\n")

    problems = eventually("it is reported", lambda: local.status()["problems"])
    assert problems == [f"{bad}:1: kind: v1 ReplicationController is unknown to the local runtime"]
    assert "letters" in local.status()["services"]
    bad.unlink()
    eventually("it is forgotten", lambda: local.status()["problems"] == [])


def test_three_failures_and_then_success_is_one_delivery(local: Local) -> None:
    """503 is tried again after 0.1, 0.2 and 0.4 s, and nothing is dead-lettered."""
    local.echo("weak", answers="503,503,503,204")

    local.post("weak")

    eventually("delivered", lambda: local.status()["triggers"]["weak-to-weak"]["delivered"] == 1)
    tries = [each["at"] for each in local.journal("weak")]
    assert len(tries) == 4
    assert tries[3] - tries[0] >= 0.7
    assert local.letters("weak") == []


@pytest.mark.parametrize(
    ("answers", "tries", "code", "reason"),
    [
        pytest.param("500", 4, "500", "answer 500", id="a-bug"),
        pytest.param("text", 4, "502", "neither empty nor an event", id="a-text-body"),
        pytest.param("400", 1, "400", "answer 400", id="not-worth-another-try"),
    ],
)
def test_what_always_fails_is_one_dead_letter(local: Local, answers: str, tries: int, code: str, reason: str) -> None:
    """With Knative's three extensions: where, which status, what was said."""
    name = f"fails{answers}"
    local.echo(name, answers=answers)

    local.post(name)

    [letter] = eventually("the dead letter", lambda: local.letters(name))
    assert len(local.journal(name)) == tries
    assert letter["knativeerrordest"] == f"http://{name}.default.svc.cluster.local"
    assert letter["knativeerrorcode"] == code
    assert reason in base64.b64decode(letter["knativeerrordata"]).decode()
    assert letter["data"] == '{"a":1}'


def test_a_dead_letter_that_nobody_takes_is_kept_and_tried_again(local: Local) -> None:
    """The sink fails as often as it is tried; ten seconds later the event is not lost."""
    broker = local.manifests / "broker.yaml"
    whole = broker.read_text()
    local.echo("tomb", answers="500,500,500,500,204", type="unused")
    broker.write_text(whole.replace("name: letters\n---", "name: tomb\n---").replace("retry: 3", "retry: 0"))
    local.echo("dying", answers="500")
    local.post("dying")

    seen = eventually("it is tried again", lambda: len(local.journal("tomb")) >= 2)

    broker.write_text(whole)
    assert seen


def test_a_reply_goes_back_to_the_broker(local: Local) -> None:
    """A second function gets what the first one answered."""
    local.echo("first", answers="reply")
    local.echo("second", type="first.replied")

    local.post("first", id="cause")

    [reply] = eventually("the reply", lambda: local.journal("second"))
    assert (reply["id"], reply["source"], reply["data"]) == ("cause", "/echo", "{}")
    assert "knativebrokerttl" not in reply


def test_the_same_reply_to_another_cause_is_delivered_again(local: Local) -> None:
    """What is announced anew is wanted anew: only the repetition of one delivery is a duplicate."""
    local.echo("third", answers="reply")
    local.echo("fourth", type="third.replied")

    local.post("third", id="same")
    local.post("third", id="same")

    eventually("both replies", lambda: len(local.journal("fourth")) == 2)


def test_a_slow_function_delays_nobody_else(local: Local) -> None:
    """Each Trigger has a consumer of its own."""
    local.echo("slow", answers="hang")
    local.echo("quick")
    for number in range(20):
        local.post("slow", id=str(number))

    local.post("quick")

    eventually("the quick one", lambda: local.journal("quick"), within_s=5)
    (local.home / "slow.release").touch()
    eventually("the slow ones", lambda: local.status()["triggers"]["slow-to-slow"]["delivered"] == 20)


def test_a_busy_function_gets_more_instances_up_to_max_scale(local: Local) -> None:
    """ContainerConcurrency 1: each instance has one request at a time."""
    local.echo("busy", answers="hang")
    for number in range(8):
        local.post("busy", id=str(number))

    eventually("three instances", lambda: len(local.instances("busy")) == 3)

    assert len(local.journal("busy")) <= 3
    (local.home / "busy.release").touch()
    eventually("all delivered", lambda: local.status()["triggers"]["busy-to-busy"]["delivered"] == 8)
    assert len({each["pid"] for each in local.journal("busy")}) == 3


def test_a_function_that_dies_with_a_request_is_started_again(local: Local) -> None:
    """The Broker sees a broken answer and tries again."""
    local.echo("mortal", answers="hang,204")
    local.post("mortal")
    [seen] = eventually("the event came", lambda: local.journal("mortal"))

    os.kill(seen["pid"], signal.SIGKILL)

    eventually("delivered", lambda: local.status()["triggers"]["mortal-to-mortal"]["delivered"] == 1)
    assert local.journal("mortal")[1]["pid"] != seen["pid"]


def test_a_function_that_cannot_start_says_why_in_its_dead_letter(local: Local) -> None:
    """A crash loop backs off, and blocks no event for ever."""
    path = local.echo("broken")
    path.write_text(path.read_text().replace("functions/echo.py", "functions/nowhere.py"))
    eventually("the new revision", lambda: local.status()["services"]["broken"]["revision"] == "broken-00002")

    local.post("broken")

    [letter] = eventually("the dead letter", lambda: local.letters("broken"))
    assert "nowhere.py" in base64.b64decode(letter["knativeerrordata"] + "===").decode("utf-8", "replace")
    assert local.status()["services"]["broken"]["crashes"] >= 1


def test_a_new_revision_takes_over_without_losing_a_request(local: Local) -> None:
    """The old one answers what it has; the new one gets what comes once it is ready."""
    path = local.echo("rolling", answers="hang,204")
    local.post("rolling", id="old")
    [old] = eventually("the old one has it", lambda: local.journal("rolling"))

    path.write_text(path.read_text().replace("timeoutSeconds: 20", "timeoutSeconds: 21"))
    eventually("the new revision", lambda: local.status()["services"]["rolling"]["revision"] == "rolling-00002")
    local.post("rolling", id="new")
    eventually("both are there", lambda: len(local.journal("rolling")) == 2)
    (local.home / "rolling.release").touch()

    eventually("both delivered", lambda: local.status()["triggers"]["rolling-to-rolling"]["delivered"] == 2)
    assert [each["id"] for each in local.journal("rolling")] == ["old", "new"]
    eventually("the old process is gone", lambda: not Path(f"/proc/{old['pid']}").exists())


def test_a_removed_function_goes(local: Local) -> None:
    """With its Trigger, its consumer and its processes."""
    path = local.echo("fleeting")
    local.post("fleeting")
    [seen] = eventually("the event came", lambda: local.journal("fleeting"))

    path.unlink()

    eventually("unknown", lambda: "fleeting" not in local.status()["services"])
    assert "fleeting-to-fleeting" not in local.status()["triggers"]
    local.post("fleeting")
    eventually("nobody holds what comes now", lambda: local.status()["pending"] == 0)
    eventually("its process is gone", lambda: not Path(f"/proc/{seen['pid']}").exists())


def test_a_deployment_knows_its_sink_and_is_restarted(local: Local) -> None:
    """K_SINK comes from its SinkBinding; a crash is counted."""
    local.write("beacon")
    sink = eventually("it wrote", lambda: (local.home / "beacon").exists() and (local.home / "beacon").read_text())
    assert sink == local.status()["endpoints"]["brokers"]["default"]

    os.kill(local.status()["parts"]["beacon"]["pid"], signal.SIGKILL)

    eventually("restarted", lambda: local.status()["parts"]["beacon"]["restarts"] == 1)


def test_a_command_that_does_not_exist_is_reported_and_stops_nothing_else(local: Local) -> None:
    """As a function and as a Deployment; each event gets its dead letter."""
    path = local.echo("nowhere")
    path.write_text(path.read_text().replace("command: [python,", "command: [no-such-program,"))
    eventually("the new revision", lambda: local.status()["services"]["nowhere"]["revision"] == "nowhere-00002")

    local.post("nowhere")

    [letter] = eventually("the dead letter", lambda: local.letters("nowhere"))
    assert letter["knativeerrorcode"] == "503"
    assert "no-such-program" in local.status()["services"]["nowhere"]["problem"]
    assert local.post("anything") == 202


def test_a_revision_that_does_not_start_leaves_the_old_one_in_place(local: Local) -> None:
    """While the old one has instances, it answers; the failure is reported."""
    path = local.echo("careful")
    local.post("careful")
    eventually("the old one runs", lambda: local.instances("careful"))

    path.write_text(path.read_text().replace("functions/echo.py", "functions/nowhere.py"))

    problem = eventually("it is reported", lambda: local.status()["services"]["careful"]["problem"])
    local.post("careful", id="2")
    eventually("the old one answers", lambda: len(local.journal("careful")) == 2)
    assert "careful-00002 does not start, careful-00001 stays" in problem


def test_dead_letters_are_listed_shown_and_replayed(local: Local) -> None:
    """Replayed, one loses Knative's error extensions and leaves the stream once the Broker has it."""
    local.echo("healed")
    headers = {"ce-specversion": "1.0", "ce-id": "7", "ce-source": "/test", "ce-type": "healed", "ce-subject": "gate"}
    reason = {"ce-knativeerrorcode": "500", "ce-knativeerrordata": base64.b64encode(b"ValueError: no").decode()}
    letter = {**headers, **reason, "ce-datacontenttype": "application/json"}
    local.bus().publish("sluice.deadletter.healed", b'{"a":2}', message_id="7", headers=letter)

    listed = local.sluice("deadletter", "list").stdout.split()
    shown = local.sluice("deadletter", "show", listed[0]).stdout
    replayed = local.sluice("deadletter", "replay", listed[0])

    assert listed[1:6] == ["healed", "healed", "gate", "7", "500"]
    assert '{"a":2}' in shown
    assert "ValueError: no" in shown
    assert replayed.returncode == 0
    [seen] = eventually("it came", lambda: local.journal("healed"))
    assert (seen["id"], seen["data"], "knativeerrorcode" in seen) == ("7", '{"a":2}', False)
    assert local.sluice("deadletter", "list").stdout == ""


def test_the_commands_tell_what_runs(local: Local) -> None:
    """In words, for people."""
    local.write("skipped")
    eventually("it is read", lambda: local.status()["skipped"])

    status = local.sluice("status").stdout

    assert "nats-server              running, pid " in status
    assert f"{local.manifests / 'skipped.yaml'}:2: Namespace" in status
    assert "Server is ready" in local.sluice("logs", "nats-server").stdout
    assert "there are" in local.sluice("logs", "nobody").stderr


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({"ce-id": ""}, id="no-id"),
        pytest.param({"ce-specversion": "0.3"}, id="another-version"),
        pytest.param({"ce-my-name": "x"}, id="a-dash-in-a-name"),
        pytest.param({"content-type": "application/cloudevents+json"}, id="no-envelope"),
        pytest.param({"content-type": "application/cloudevents-batch+json"}, id="a-batch"),
    ],
)
def test_what_is_no_event_is_refused_at_the_broker(local: Local, headers: dict[str, str]) -> None:
    """400, and nothing is kept."""
    assert local.post("odd", **headers) == 400


def test_a_ping_comes_on_time(local: Local) -> None:
    """Every minute, as a CloudEvent of Knative's type."""
    local.echo("pinged", type="dev.knative.sources.ping")

    seen = eventually("the ping", lambda: local.journal("pinged"), within_s=65)[0]

    assert seen["source"] == "/apis/v1/namespaces/default/pingsources/minutely"
    assert seen["data"] == '{"tick":true}'
    assert 0 <= seen["at"] % 60 < 5


def test_nats_may_go_and_come(local: Local) -> None:
    """503 while it is away, and everything is as before once it is back."""
    local.echo("patient")
    os.kill(local.status()["parts"]["nats-server"]["pid"], signal.SIGKILL)

    eventually("accepted again", lambda: local.post("patient") == 202)

    eventually("delivered", lambda: local.journal("patient"))


def test_detached_it_returns_when_ready_and_down_ends_it(tmp_path: Path) -> None:
    """With everything that it started; a second `down` finds nothing."""
    local = Local(tmp_path)

    up = local.sluice("up", "--detach", "--no-minio", "--no-triton", "--manifests", str(local.manifests))
    pid = local.status()["parts"]["nats-server"]["pid"]
    down = local.sluice("down")

    assert "ready:" in up.stdout
    assert (down.returncode, down.stdout) == (0, "stopped\n")
    assert not Path(f"/proc/{pid}").exists()
    assert "nothing runs" in local.sluice("down").stdout


def test_a_second_up_says_that_one_runs(local: Local) -> None:
    """And disturbs nothing."""
    done = local.up()

    assert done.returncode == 1
    assert "runs in" in done.stderr
    assert local.post("nobody") == 202


@pytest.mark.parametrize("everything", [True, False], ids=["with-its-children", "alone"])
def test_after_kill_9_the_next_up_delivers_what_was_accepted(tmp_path: Path, *, everything: bool) -> None:
    """One event is at work, ten wait; none is lost, and leftovers are ended."""
    local = Local(tmp_path)
    local.start()
    try:
        local.echo("late", answers="hang,204")
        with ThreadPoolExecutor(4) as pool:
            assert set(pool.map(lambda n: local.post("late", id=str(n)), range(11))) == {202}
        seen = eventually("one is at work", lambda: local.journal("late"))[0]

        local.kill(everything=everything)
        local.start()

        eventually("all came", lambda: {each["id"] for each in local.journal("late")} == {str(n) for n in range(11)})
        eventually("nothing is under way", lambda: local.status()["pending"] == 0)
        assert not Path(f"/proc/{seen['pid']}").exists()
    finally:
        local.stop()
