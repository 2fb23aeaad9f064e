"""The one connection pool of an S3Store; minio is loaded when it is first used, as a cold start may not need it."""

import hashlib
import ssl
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import quote, urlsplit

from sluice import telemetry
from sluice.errors import ConflictError, ObjectNotFoundError, SettingsError, StoreError, UnavailableError
from sluice.s3 import answers
from sluice.settings import StoreSettings

_IDLE_CONNECTIONS: Final = 16
_DATE: Final = "%Y%m%dT%H%M%SZ"
_SIGNED_FOR: Final = timedelta(minutes=15)
"""As much clock skew as a store forgives a request that is signed in its headers."""


class Connection:
    """Connects at first use, is shared by threads, tries once.

    Trying again would let a conditional PUT whose answer was lost conflict with itself, and double every wait.
    """

    def __init__(self, settings: StoreSettings) -> None:
        url = urlsplit(settings.url)
        odd = url.path.strip("/") or url.query or url.fragment or "@" in url.netloc
        if url.scheme not in ("http", "https") or not url.netloc or odd:
            raise SettingsError(("SLUICE_S3_URL: expected http(s)://host:port and nothing else",))
        self._settings = settings
        self._host, self._secure = url.netloc, url.scheme == "https"
        self._lock = threading.Lock()
        self._pool: Any = None
        self._client: Any = None
        self._base = ""
        """What comes before a key in a URL."""

    def client(self) -> Any:
        """The minio.Minio of this process."""
        self._opened()
        return self._client

    def close(self) -> None:
        """Close what is idle; the next request connects again."""
        if self._pool:
            self._pool.clear()

    def put(self, key: str, body: bytes, headers: Mapping[str, str], *, sha256: str | None) -> str:
        """PUT, with the body's hash if it is known; returns the etag.

        minio-py would copy the body, take its hash again, and cost twice as much (docs/adr/0014-segmenter-cost.md).
        """
        from minio.credentials import Credentials
        from minio.error import S3Error
        from minio.signer import sign_v4_s3

        pool, settings = self._opened(), self._settings
        url, date = urlsplit(self._base + quote(key)), datetime.now(UTC)
        sha256 = sha256 or hashlib.sha256(body).hexdigest()
        told: Any = {**headers, "Host": url.netloc, "x-amz-content-sha256": sha256, "x-amz-date": f"{date:{_DATE}}"}
        signed = sign_v4_s3(
            method="PUT",
            url=url,
            region=settings.region,
            headers=told,
            credentials=Credentials(settings.access_key, settings.secret_key),
            content_sha256=sha256,
            date=date,
        )
        answer = pool.connection_from_url(self._base).urlopen("PUT", url.path, body=body, headers=signed)
        if answer.status != 200:
            raise S3Error.fromxml(answer)
        return answers.etag(answer)

    def put_if(self, condition: Mapping[str, str], key: str, body: bytes, told: Mapping[str, str]) -> str:
        """PUT under an If-Match or If-None-Match, which minio-py cannot say; returns the etag.

        No header is signed, nor need it be: who can change our headers can as well swallow the request.
        """
        from minio.error import S3Error

        url = self.client().get_presigned_url("PUT", self._settings.bucket, key, expires=_SIGNED_FOR)
        answer = self._pool.urlopen("PUT", url, body=body, headers={**told, **condition})
        if answer.status != 200:
            raise S3Error.fromxml(answer)
        return answers.etag(answer)

    def delete(self, keys: Sequence[str]) -> list[str]:
        """Delete in batches of 1000; returns what is left, as `key: why`."""
        from minio.deleteobjects import DeleteObject

        doomed = [DeleteObject(key) for key in keys]
        left = self.client().remove_objects(self._settings.bucket, doomed)
        return [f"{each.name}: {each.code}" for each in left if each.code != "NoSuchKey"]

    @contextmanager
    def translated(self, action: str, key: str, *, first: int = 0, expected: str | None = None) -> Iterator[None]:
        """Turn what minio-py and urllib3 raise into errors of ours, and measure; none holds a signed URL."""
        began = time.perf_counter()
        try:
            with self._translated(action, key, first=first, expected=expected):
                yield
        except (UnavailableError, StoreError) as error:
            if not isinstance(error, ObjectNotFoundError | ConflictError):
                telemetry.current().count("store_errors", action=action)
            raise
        finally:
            if action != "list":  # of a listing, only each thousandth object is a request
                telemetry.current().observe("store_seconds", time.perf_counter() - began, action=action)

    @contextmanager
    def _translated(self, action: str, key: str, *, first: int = 0, expected: str | None = None) -> Iterator[None]:
        from xml.etree.ElementTree import ParseError

        from minio.error import MinioException, S3Error
        from urllib3.exceptions import HTTPError

        settings = self._settings
        try:
            yield
        except S3Error as error:
            what = f"{action} {key!r} in bucket {settings.bucket!r} as {settings.access_key!r}"
            raise answers.refusal(error, what, key, first=first, expected=expected) from error
        except (MinioException, ParseError) as error:
            raise UnavailableError("store", f"{action} {key!r}: not an answer of S3: {str(error)[:200]}") from error
        except (HTTPError, OSError) as error:
            # The pool's other connections lead to the same dead server, and each would cost somebody a whole timeout.
            self.close()
            raise UnavailableError("store", f"{action} {key!r}: {str(error)[:200]}") from error

    def _opened(self) -> Any:
        """The pool."""
        with self._lock:
            if self._client is None:
                self._open()
            return self._pool

    def _open(self) -> None:
        from minio import Minio  # 140 ms, which only a process that uses the store pays
        from urllib3 import PoolManager, Timeout

        settings = self._settings
        # The system's certificates, or those of SSL_CERT_FILE, which OpenSSL itself reads.
        tls = {"ssl_context": ssl.create_default_context()} if self._secure else {}
        self._pool = PoolManager(
            timeout=Timeout(total=settings.timeout_s), retries=False, maxsize=_IDLE_CONNECTIONS, **tls
        )
        self._client = Minio(
            self._host,
            access_key=settings.access_key,
            secret_key=settings.secret_key,
            secure=self._secure,
            region=settings.region,  # without it minio-py first asks where the bucket is, which our users may not
            http_client=self._pool,
        )
        whole = self._client.get_presigned_url("PUT", settings.bucket, "_", expires=_SIGNED_FOR)
        self._base = whole.partition("?")[0].removesuffix("_")
