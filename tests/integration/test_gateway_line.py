"""The gateway of a running line: tokens and links from the command line, and a flood of viewers."""

import asyncio
import json
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.services.line import ROOT, Line, eventually

pytestmark = [pytest.mark.s3, pytest.mark.nats]

FLOOD = 2000
HELD = b"HTTP/1.1 200"
REFUSED = b"HTTP/1.1 503"


def sluice(line: Line, *arguments: str) -> str:
    command, *rest = arguments
    verb, rest = ([rest[0]], rest[1:]) if command in ("token", "camera") else ([], rest)
    whole = line.command(command)
    whole = [*whole[:-2], *verb, *whole[-2:], *rest]
    done = subprocess.run(whole, capture_output=True, text=True, check=False, cwd=ROOT, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def status(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=60) as answer:
            answer.read()
            found: int = answer.status
    except urllib.error.HTTPError as error:
        with error:
            return error.code
    return found


def a_link(line: Line) -> str:
    """The gateway with a new token of everything, as the start of an address."""
    out = sluice(line, "token", "create", "--days", "1", "--note", "test")
    gateway = line.runtime()["endpoints"]["services"]["gateway"]
    return f"{gateway}/t/{out.split()[out.split().index('token') + 1]}"


def test_a_token_is_made_listed_and_revoked(line: Line) -> None:
    """It opens its camera until it is revoked; the list tells everything but the token."""
    out = sluice(line, "token", "create", "--camera", "gate", "--note", "wall")
    token_id, secret = out.split()[1].rstrip(":"), out.split()[out.split().index("token") + 1]
    link = f"{line.runtime()['endpoints']['services']['gateway']}/t/{secret}"

    opened, foreign = status(f"{link}/api/events?camera=gate"), status(f"{link}/api/events?camera=yard")
    listed = sluice(line, "token", "list")
    [for_programs] = [each for each in json.loads(sluice(line, "token", "list", "--json")) if each["id"] == token_id]
    sluice(line, "token", "revoke", token_id)

    assert (opened, foreign) == (200, 404)
    assert "viewer of gate, for ever (wall)" in listed
    assert secret not in listed
    assert (for_programs["role"], for_programs["cameras"], for_programs["expires"]) == ("viewer", ["gate"], None)
    eventually("it is let in no more", lambda: status(f"{link}/api/status") == 401, within_s=15)
    assert token_id not in sluice(line, "token", "list")


def test_play_prints_links_that_work(line: Line) -> None:
    """For a day, for this camera alone."""
    line.store().put("hls/gate/index.m3u8", b"#EXTM3U\n")
    sluice(line, "camera", "add", "gate", "test://?size=320x180&fps=10")

    watch, hls = (each.split()[1] for each in sluice(line, "play", "gate").splitlines()[:2])

    assert hls.endswith("/hls/gate/index.m3u8")
    assert watch.endswith("/watch/gate")
    assert sluice(line, "play", "gate", "--hls").strip().endswith("/hls/gate/index.m3u8")
    assert status(hls) == 200
    assert status(hls.replace("/hls/gate/", "/hls/yard/")) == 404


def test_no_link_is_made_for_a_camera_that_is_not_there(line: Line) -> None:
    """A token would be left behind."""
    command = line.command("play")
    done = subprocess.run([*command, "nobody"], capture_output=True, text=True, check=False, cwd=ROOT, timeout=60)

    assert done.returncode == 1
    assert "no camera 'nobody'" in done.stderr


async def flood(address: str, path: str, others: list[str]) -> tuple[list[bytes], list[int], float]:
    """Who wants a stream, all at once and staying; meanwhile what others are answered, and how long they wait."""
    host, _, port = address.removeprefix("http://").partition(":")
    request = f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
    writers = []

    async def want() -> bytes:
        reader, writer = await asyncio.open_connection(host, int(port))
        writers.append(writer)
        writer.write(request)
        async with asyncio.timeout(90):
            return (await reader.readline())[:12]

    try:
        wanting = [asyncio.create_task(want()) for _ in range(FLOOD)]
        await asyncio.wait(wanting, return_when=asyncio.FIRST_COMPLETED)
        began = time.monotonic()
        answers = await asyncio.gather(*(asyncio.to_thread(status, each) for each in others))
        took_s = time.monotonic() - began
        return await asyncio.gather(*wanting), answers, took_s
    finally:
        for writer in writers:
            writer.close()


def test_two_thousand_who_want_a_stream_stop_nobody_else(line: Line) -> None:
    """Some get one, the others 503; playlists, the API and health are answered, and nothing breaks or stays taken."""
    link = a_link(line)
    gateway, path = link[: link.index("/t/")], link[link.index("/t/") :] + "/api/events/stream"
    line.store().put("hls/gate/index.m3u8", b"#EXTM3U\n")
    others = [f"{link}/hls/gate/index.m3u8", f"{link}/api/cameras", f"{gateway}/health/readiness"] * 3

    lines, answers, took_s = asyncio.run(flood(gateway, path, others))

    assert set(lines) == {HELD, REFUSED}
    assert lines.count(HELD) >= 32
    assert set(answers) == {200, 204}
    assert took_s < 30
    assert "Traceback" not in (line.state / "logs" / "gateway.log").read_text()
    eventually("a stream is free again", lambda: is_free(link), within_s=60)


def is_free(link: str) -> bool:
    try:
        with urllib.request.urlopen(f"{link}/api/events/stream", timeout=60) as answer:
            return bool(answer.status == 200)
    except urllib.error.HTTPError as error:
        error.close()
        return False


def test_no_log_of_the_line_holds_a_token(line: Line) -> None:
    """Whoever reads logs does not look at cameras."""
    link = a_link(line)
    secret = link.rpartition("/")[2]

    for path in ("/hls/gate/index.m3u8", "/nothing", "/api/events?from=x"):
        status(link + path)

    texts = [path.read_text(errors="replace") for path in sorted(Path(line.state / "logs").glob("*"))]
    assert texts
    assert not [text for text in texts if secret in text]
