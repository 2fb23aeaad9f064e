"""An RTSP server that sends over UDP alone, as some cameras do; ffmpeg makes the RTP of it."""

import contextlib
import re
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

from tests.services.ffmpeg import LOOPED, ffmpeg

_TRACKS = ("v", "a")


class _Session:
    """One client: RFC 2326, as far as FFmpeg's client asks."""

    def __init__(self, client: socket.socket, clip: Path, sdp: str, folder: Path, stack: contextlib.ExitStack) -> None:
        self._client, self._clip, self._sdp, self._folder, self._stack = client, clip, sdp, folder, stack
        self._ports: dict[int, str] = {}

    def answer(self, request: str) -> str:
        method, url = request.split(" ")[:2]
        sequence = re.search(r"CSeq: *(\d+)", request, re.IGNORECASE)
        status, headers, body = self._answered(method, url, request)
        lines = [f"RTSP/1.0 {status}", f"CSeq: {sequence[1] if sequence else 0}", "Session: 1", *headers]
        return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", body])

    def _answered(self, method: str, url: str, request: str) -> tuple[str, list[str], str]:
        match method:
            case "DESCRIBE":
                return "200 OK", ["Content-Type: application/sdp", f"Content-Base: {url}/"], self._sdp
            case "SETUP":
                return self._set_up(int(url.rpartition("=")[2]), request)
            case "PLAY":
                self._play()
                return "200 OK", ["Range: npt=now-"], ""
            case _:
                return "200 OK", ["Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN, GET_PARAMETER"], ""

    def _set_up(self, track: int, request: str) -> tuple[str, list[str], str]:
        port = re.search(r"RTP/AVP(?:/UDP)?;unicast;client_port=(\d+)", request)
        if port is None:
            return "461 Unsupported Transport", [], ""
        self._ports[track] = port[1]
        low = int(port[1])
        return "200 OK", [f"Transport: RTP/AVP/UDP;unicast;client_port={low}-{low + 1}"], ""

    def _play(self) -> None:
        outputs = list[str]()
        for track, port in sorted(self._ports.items()):
            # Packets that fit a datagram, so that no fragment is lost on the way.
            target = f"rtp://127.0.0.1:{port}?pkt_size=1400"
            outputs += [
                "-map",
                f"0:{_TRACKS[track]}",
                "-c",
                "copy",
                "-payload_type",
                f"{96 + track}",
                "-f",
                "rtp",
                target,
            ]
        self._stack.enter_context(ffmpeg(*LOOPED, "-i", self._clip, *outputs, folder=self._folder))


def _described(clip: Path, folder: Path) -> str:
    """The SDP of both tracks, as ffmpeg writes it, with names to set them up by."""
    path = folder / "tracks.sdp"
    outputs = list[str]()
    for track, kind in enumerate(_TRACKS):
        target = f"rtp://127.0.0.1:{9 + 2 * track}"
        outputs += ["-map", f"0:{kind}", "-c", "copy", "-payload_type", f"{96 + track}", "-f", "rtp", target]
    with ffmpeg("-t", "0.1", "-i", clip, *outputs, "-sdp_file", path, folder=folder) as peer:
        assert peer.process.wait(20) == 0, peer.log.read_text()
    head, *media = re.split(r"^(?=m=)", path.read_text(), flags=re.MULTILINE)
    tracks = [re.sub(r"^m=(\w+) \d+", r"m=\1 0", each, flags=re.MULTILINE) for each in media]
    named = [f"{each.rstrip()}\r\na=control:track={n}\r\n" for n, each in enumerate(tracks)]
    lines = (head + "".join(named)).splitlines()
    return "\r\n".join(line for line in lines if line) + "\r\n"


def _serve(client: socket.socket, clip: Path, sdp: str, folder: Path, ended: threading.Event) -> None:
    with client, contextlib.ExitStack() as stack, contextlib.suppress(OSError):
        session, buffer = _Session(client, clip, sdp, folder, stack), b""
        client.settimeout(0.2)
        while not ended.is_set():
            with contextlib.suppress(TimeoutError):
                data = client.recv(4096)
                if not data:
                    return
                buffer += data
            while b"\r\n\r\n" in buffer:
                head, _, buffer = buffer.partition(b"\r\n\r\n")
                client.sendall(session.answer(head.decode("latin-1")).encode())


@contextlib.contextmanager
def rtsp_over_udp(clip: Path, *, folder: Path) -> Iterator[str]:
    """The URL of a stream of a looped file that cannot be had over TCP."""
    sdp, ended, threads = _described(clip, folder), threading.Event(), list[threading.Thread]()
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(0.2)

    def accept() -> None:
        while not ended.is_set():
            with contextlib.suppress(TimeoutError):
                client, _ = listener.accept()
                threads.append(threading.Thread(target=_serve, args=(client, clip, sdp, folder, ended)))
                threads[-1].start()

    accepting = threading.Thread(target=accept)
    accepting.start()
    try:
        yield f"rtsp://127.0.0.1:{listener.getsockname()[1]}/live"
    finally:
        ended.set()
        for thread in (accepting, *threads):
            thread.join()
        listener.close()
