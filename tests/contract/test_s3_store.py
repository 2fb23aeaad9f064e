"""What S3Store keeps beyond the port: rights, time, TLS, other clients."""

import gzip
import hashlib
import http.server
import itertools
import os
import shutil
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from sluice.errors import ConflictError, ObjectNotFoundError, SettingsError, StoreError, UnavailableError
from sluice.settings import StoreSettings
from sluice.store import S3Store
from tests.services.minio import MinioServer

pytestmark = pytest.mark.s3

TIMEOUT_S = 0.5
AT_MOST_S = 2 * TIMEOUT_S + 0.5
"""A timeout to connect or send, one to read, and some for a busy machine."""

SLOW_DOWN = b"<Error><Code>SlowDown</Code><Message>later</Message></Error>"


def http_answer(status: str, content_type: str, body: bytes) -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


@pytest.fixture
def store(store_settings: StoreSettings) -> Iterator[S3Store]:
    """An empty bucket, as root."""
    opened = S3Store(store_settings)
    yield opened
    opened.close()


@contextmanager
def unavailable_in_time(reason: str = "") -> Iterator[None]:
    """What is done within ends with UnavailableError, and soon."""
    began = time.monotonic()
    with pytest.raises(UnavailableError, match=reason):
        yield
    assert time.monotonic() - began < AT_MOST_S


def every_call(store: S3Store) -> list[Callable[[], object]]:
    return [
        lambda: store.get("key"),
        lambda: store.put("key", b"2"),
        lambda: store.create("new", b""),
        lambda: store.replace("key", b"2", etag="0"),
        lambda: [*store.list("")],
        lambda: store.delete(["key"]),
    ]


class TestRights:
    """A part's user has what the part needs and no more."""

    def test_the_rights_to_objects_and_a_prefix_are_enough(self, minio_server: MinioServer, bucket: str) -> None:
        """No call asks for the bucket, its region or the list of buckets."""
        user = new_user(
            minio_server,
            bucket,
            [
                {"Action": ["s3:GetObject", "s3:PutObject"], "Resource": [f"arn:aws:s3:::{bucket}/results/*"]},
                {
                    "Action": ["s3:ListBucket"],
                    "Resource": [f"arn:aws:s3:::{bucket}"],
                    "Condition": {"StringLike": {"s3:prefix": ["results/*"]}},
                },
            ],
        )
        store = S3Store(minio_server.settings(bucket, user=user))

        store.put("results/a", b"1", metadata={"codec": "avc1"})
        store.replace("results/b", b"2", etag=store.create("results/b", b"1"))

        assert [each.key for each in store.list("results/")] == ["results/a", "results/b"]
        assert store.get("results/a", first=0, last=0).body == b"1"
        assert read_url(store.presign("results/b")) == b"2"
        with pytest.raises(ObjectNotFoundError):
            store.get("results/none")
        store.close()

    def test_what_is_denied_is_named(self, minio_server: MinioServer, bucket: str) -> None:
        """A right that is missing is added later: the event waits, and the reason says what to add."""
        user = new_user(
            minio_server, bucket, [{"Action": ["s3:GetObject"], "Resource": [f"arn:aws:s3:::{bucket}/results/*"]}]
        )
        store = S3Store(minio_server.settings(bucket, user=user))

        for action, call in zip(("get", "put", "create", "replace", "list"), every_call(store), strict=False):
            with pytest.raises(UnavailableError, match=f"{action} .*{bucket}.*{user[0]}.*AccessDenied"):
                call()
        with pytest.raises(UnavailableError, match="2 of 2 objects not deleted, the first: a: AccessDenied"):
            store.delete(["a", "b"])
        store.close()

    def test_a_missing_bucket_is_a_fault_of_the_installation(self, minio_server: MinioServer) -> None:
        """It is made later; the object is not said to be absent."""
        store = S3Store(minio_server.settings("no-such-bucket"))

        for call in every_call(store):
            with pytest.raises(UnavailableError, match=r"no-such-bucket.*NoSuchBucket"):
                call()
        store.close()

    def test_a_request_that_no_time_mends_is_no_outage(self, store: S3Store) -> None:
        """Trying again would give the same answer."""
        with pytest.raises(StoreError) as error:
            store.put("x" * 300, b"")

        assert type(error.value) is StoreError

    def test_a_signed_url_needs_no_credentials_until_it_expires(self, store: S3Store) -> None:
        """Whoever has it reads this object and nothing else."""
        store.put("clips/ü +.mp4", b"0123456789")

        url = store.presign("clips/ü +.mp4", expires_s=60)

        assert read_url(url) == b"0123456789"
        assert read_url(url, {"Range": "bytes=2-3"}) == b"23"
        with pytest.raises(urllib.error.HTTPError, match="403"):
            read_url(url.partition("?")[0])
        with pytest.raises(urllib.error.HTTPError, match="403"):
            read_url(url.replace("X-Amz-Expires=60", "X-Amz-Expires=61"))


class TestTime:
    """No server makes a caller wait for ever."""

    def test_a_server_that_hangs_is_given_up_in_time(self, minio_server: MinioServer, bucket: str) -> None:
        """Also on connections that were open before; when it wakes, the same object works."""
        store = S3Store(minio_server.settings(bucket, timeout_s=TIMEOUT_S))
        store.put("kept", b"1")

        minio_server.freeze()
        try:
            for call in every_call(store):
                with unavailable_in_time("timed out"):
                    call()
        finally:
            minio_server.thaw()

        assert eventually(lambda: store.get("kept").body == b"1")
        store.close()

    def test_a_server_that_was_killed_is_found_again(self, minio_server: MinioServer, store: S3Store) -> None:
        """The first call after its start works, whatever was open before; what it acknowledged is there."""
        store.put("key", b"1")
        seen = store.create("state", b"1")

        minio_server.kill()
        minio_server.start()

        assert store.replace("state", b"2", etag=seen)
        assert store.get("key").body == b"1"

    @pytest.mark.parametrize(
        ("answer", "reason"),
        [
            pytest.param(b"", "get 'key'", id="hangs-up"),
            pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nhalf", "bytes", id="hangs-up-in-the-body"),
            pytest.param(b"SSH-2.0-hello\r\n", "get 'key'", id="another-protocol"),
            pytest.param(http_answer("502 Bad Gateway", "text/html", b"oops"), "not an answer of S3", id="html"),
            pytest.param(http_answer("503 Busy", "application/xml", b"<oops"), "not an answer of S3", id="broken-xml"),
            pytest.param(http_answer("503 Busy", "application/xml", SLOW_DOWN), "SlowDown", id="slow-down"),
        ],
    )
    def test_what_is_not_an_answer_is_unavailable(self, answer: bytes, reason: str) -> None:
        """A proxy's page, half a body, a hang-up: the store is not there now."""
        with answering([answer]) as url:
            store = S3Store(settings_for(url))

            with unavailable_in_time(reason):
                store.get("key")

    def test_a_body_that_trickles_is_given_up_in_time(self) -> None:
        """Each byte comes in time, the whole does not."""
        with answering([b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n", *[b"x"] * 999], pause_s=0.05) as url:
            store = S3Store(settings_for(url))

            with unavailable_in_time("of 999 bytes in the time given"):
                store.get("key")

    def test_a_server_that_moved_costs_one_timeout(self) -> None:
        """The connections that idle in the pool lead to where it was: they are dropped with the one that failed."""
        with moving() as url:
            store = S3Store(settings_for(url))
            with ThreadPoolExecutor(2) as both:
                assert [found.body for found in both.map(store.get, ["a", "b"])] == [b"here", b"here"]

                with unavailable_in_time("timed out"):
                    store.get("a")

                assert [found.body for found in both.map(store.get, ["a", "b"])] == [b"here", b"here"]
            store.close()

    def test_no_error_shows_a_signature(self) -> None:
        """Conditional writes are signed in the URL, and errors go into logs."""
        with answering([b""]) as url:
            store = S3Store(settings_for(url))

            with pytest.raises(UnavailableError) as error:
                store.create("key", b"")

        assert "X-Amz" not in str(error.value)

    def test_nothing_is_tried_twice(self) -> None:
        """A create whose answer was lost would conflict with itself."""
        seen: list[bytes] = []
        with answering([b""], seen=seen) as url:
            store = S3Store(settings_for(url))

            for call in every_call(store):
                with pytest.raises(UnavailableError):
                    call()

        assert [request.split(b" ", 1)[0] for request in seen] == [b"GET", b"PUT", b"PUT", b"PUT", b"GET", b"POST"]

    def test_a_connection_is_used_again(self, store: S3Store, minio_server: MinioServer) -> None:
        """Reading a body, a range, a listing or a refusal to its end keeps it open."""
        store.put("key", b"x" * 100_000)
        pool = store._connection._pool.connection_from_url(minio_server.url)
        opened = pool.num_connections

        store.get("key")
        store.get("key", first=5, last=9)
        assert [each.key for each in store.list("")] == ["key"]
        with pytest.raises(ConflictError):
            store.create("key", b"")
        with pytest.raises(ObjectNotFoundError):
            store.get("none")
        store.delete(["key"])

        assert pool.num_connections == opened
        assert pool.num_requests > opened + 5


class TestOthers:
    """Other clients, other settings."""

    def test_any_client_shares_the_bucket(self, store: S3Store, store_settings: StoreSettings) -> None:
        """Objects, metadata, etags and conditions mean the same to boto3."""
        foreign = boto3_client(store_settings)
        bucket = store_settings.bucket

        foreign.put_object(Bucket=bucket, Key="chunks/a.mp4", Body=b"1", Metadata={"Codec": "avc1"})
        etag = store.create("state.json", b"{}")
        head = foreign.head_object(Bucket=bucket, Key="state.json")
        foreign.put_object(Bucket=bucket, Key="state.json", Body=b"{1}", IfMatch=head["ETag"])

        assert head["ETag"] == f'"{etag}"'
        assert head["ContentType"] == "application/json"
        assert store.get("chunks/a.mp4").metadata == {"codec": "avc1"}
        with pytest.raises(ConflictError):
            store.replace("state.json", b"{2}", etag=etag)

    def test_a_large_object_is_one_put(self, store: S3Store, store_settings: StoreSettings) -> None:
        """A multipart upload has another etag, another event, and needs more rights."""
        etag = store.put("large", bytes(6 << 20), content_type="video/mp4")

        head = boto3_client(store_settings).head_object(Bucket=store_settings.bucket, Key="large")

        assert "-" not in etag
        assert head["ContentType"] == "video/mp4"

    def test_a_body_that_is_not_what_its_metadata_says_is_refused(self, store: S3Store) -> None:
        """The hash is signed: what a disk has changed since it was taken is not stored under it."""
        told = hashlib.sha256(b"as it was cut").hexdigest()

        store.put("whole", b"as it was cut", metadata={"sha256": told})
        with pytest.raises(StoreError, match=r"(?i)sha256"):
            store.put("changed", b"as it was cuT", metadata={"sha256": told})

        assert store.get("whole").metadata == {"sha256": told}
        with pytest.raises(ObjectNotFoundError):
            store.get("changed")

    def test_a_body_is_read_as_it_is_stored(self, store: S3Store, store_settings: StoreSettings) -> None:
        """A small object that unpacks to a large one stays small."""
        packed = gzip.compress(bytes(1 << 20))
        boto3_client(store_settings).put_object(
            Bucket=store_settings.bucket, Key="packed", Body=packed, ContentEncoding="gzip"
        )

        assert store.get("packed", limit=len(packed)).body == packed

    def test_a_listing_fetches_pages_as_they_are_read(self, store: S3Store) -> None:
        """Who stops early pays for one page; what is written meanwhile is still seen."""
        keys = [f"{number:04d}" for number in range(1001)]
        for key in keys:
            store.put(key, b"")

        found = store.list("")
        first = next(found)
        store.put("9999", b"")

        assert first.key == "0000"
        assert [each.key for each in found] == [*keys[1:], "9999"]

    @pytest.mark.parametrize(
        "url",
        ["", "host:9000", "ftp://host", "http://", "http://host/folder", "http://user:secret@host", "http://h?x=1"],
    )
    def test_a_url_that_is_no_server_is_refused_at_start(self, url: str) -> None:
        """And what it holds is not shown."""
        with pytest.raises(SettingsError, match="SLUICE_S3_URL") as error:
            S3Store(settings_for(url))

        assert "secret" not in str(error.value)

    def test_tls_trusts_the_certificates_given(
        self, minio_binary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """SSL_CERT_FILE names who signs; a stranger's certificate is refused."""
        certificates = certificate_folder(tmp_path / "certificates")
        server = MinioServer(minio_binary, tmp_path, certificates=certificates)
        server.start()
        try:
            stranger = S3Store(server.settings("bucket"))
            with pytest.raises(UnavailableError, match="CERTIFICATE_VERIFY_FAILED"):
                stranger.get("key")

            monkeypatch.setenv("SSL_CERT_FILE", str(certificates / "public.crt"))
            store = S3Store(server.settings(server.new_bucket()))
            store.replace("key", b"2", etag=store.create("key", b"1"))

            assert store.get("key").body == b"2"
            store.close()
        finally:
            server.stop()


def new_user(server: MinioServer, bucket: str, statements: list[dict[str, Any]]) -> tuple[str, str]:
    """A user of the server with these rights alone."""
    from minio.credentials import StaticProvider
    from minio.minioadmin import MinioAdmin

    host = server.url.partition("://")[2]
    root = StaticProvider(server.root_user, server.root_password)
    admin = MinioAdmin(endpoint=host, credentials=root, region=server.region, secure=False)
    name, secret = f"user-of-{bucket}", "only-for-tests"
    policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **each} for each in statements]}
    admin.policy_add(name, policy=policy)
    admin.user_add(name, secret)
    admin.policy_set(name, user=name)
    return name, secret


def boto3_client(settings: StoreSettings) -> Any:
    """Somebody else's S3 client."""
    import boto3

    return boto3.client(
        "s3",
        endpoint_url=settings.url,
        region_name=settings.region,
        aws_access_key_id=settings.access_key,
        aws_secret_access_key=settings.secret_key,
    )


def read_url(url: str, headers: dict[str, str] | None = None) -> bytes:
    """What anybody gets."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers or {}), timeout=10) as answer:
            body: bytes = answer.read()
            return body
    except urllib.error.HTTPError as error:
        error.close()
        raise


def settings_for(url: str) -> StoreSettings:
    """Settings for a server that is none."""
    return StoreSettings(url=url, access_key="nobody", secret_key="nothing-at-all", timeout_s=TIMEOUT_S)


def eventually(holds: Callable[[], bool], *, within_s: float = 10) -> bool:
    """True as soon as it holds; a store that is waking up may still be unavailable."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        try:
            if holds():
                return True
        except UnavailableError:
            continue
    return False


@contextmanager
def answering(pieces: list[bytes], *, pause_s: float = 0.0, seen: list[bytes] | None = None) -> Iterator[str]:
    """A server that gives every connection the same answer, piece by piece, and hangs up."""
    ended = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.05)

        def serve() -> None:
            while not ended.is_set():
                try:
                    connection, _ = listener.accept()
                except TimeoutError:
                    continue
                with connection:
                    request = connection.recv(65536)
                    if seen is not None:
                        seen.append(request)
                    try:
                        for piece in pieces:
                            connection.sendall(piece)
                            ended.wait(pause_s)
                    except OSError:
                        continue

        server = threading.Thread(target=serve)
        server.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            ended.set()
            server.join()


@contextmanager
def moving() -> Iterator[str]:
    """A server that answers two first requests of connections together; the first two connections then are dead."""
    ended, together, numbers = threading.Event(), threading.Barrier(2), itertools.count(1)

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            super().setup()
            self.number, self.served = next(numbers), 0

        def do_GET(self) -> None:
            self.served += 1
            if self.served == 1:
                together.wait()
            elif self.number <= 2:
                ended.wait()
                return
            self.send_response(200)
            self.send_header("Content-Length", "4")
            self.end_headers()
            self.wfile.write(b"here")

        def log_message(self, *_: object) -> None:
            """A test has no access log."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            ended.set()
            together.abort()
            server.shutdown()
            serving.join()


def certificate_folder(folder: Path) -> Path:
    """public.crt and private.key for the loopback address, signed by themselves."""
    openssl = shutil.which("openssl")
    if openssl is None:
        if os.environ.get("CI"):
            pytest.fail("openssl is missing")
        pytest.skip("openssl is missing: install it to test TLS")
    folder.mkdir()
    files = ["-keyout", str(folder / "private.key"), "-out", str(folder / "public.crt")]
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    command = [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *files, *names]
    subprocess.run(command, check=True, capture_output=True)
    return folder
