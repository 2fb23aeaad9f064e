"""The store as its administrator sees it: MinIO's own API and S3's, every call bounded in time."""

import json
import ssl
from collections.abc import Callable
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

import urllib3
from minio import Minio, MinioAdmin
from minio.credentials import StaticProvider
from minio.error import MinioAdminException, MinioException, S3Error
from minio.notificationconfig import NotificationConfig
from urllib3.exceptions import HTTPError

from sluice.errors import SettingsError, StoreError, UnavailableError

T = TypeVar("T")

TIMEOUT_S: Final = 10.0
_NOT_LET_IN: Final = ("AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch")


class Administration:
    """What preparation asks of a MinIO server."""

    def __init__(self, *, url: str, region: str, user: str, password: str) -> None:
        where = urlsplit(url)
        if where.scheme not in ("http", "https") or not where.netloc:
            raise SettingsError((f"SLUICE_S3_URL: expected http(s)://host:port, found {url!r}",))
        self._host, self._region, self._secure = where.netloc, region, where.scheme == "https"
        # Both clients' own pools wait five minutes and try five times; MinioAdmin knows no certificates but certifi's.
        self._pool: Any = urllib3.PoolManager(
            timeout=TIMEOUT_S, retries=False, ssl_context=ssl.create_default_context() if self._secure else None
        )
        self._s3 = self._client(user, password)
        self._admin = MinioAdmin(
            endpoint=self._host,
            credentials=StaticProvider(user, password),
            region=region,
            secure=self._secure,
            http_client=self._pool,
        )

    def close(self) -> None:
        """Disconnect."""
        self._pool.clear()

    def has_bucket(self, bucket: str) -> bool:
        """Whether it is there."""
        return bool(self._asked(lambda: self._s3.bucket_exists(bucket)))

    def make_bucket(self, bucket: str) -> None:
        """Make it."""
        self._asked(lambda: self._s3.make_bucket(bucket))

    def policy(self, name: str) -> dict[str, Any] | None:
        """A policy; None when there is none of this name."""
        text = self._found(lambda: self._admin.policy_info(name))
        return None if text is None else json.loads(text)

    def put_policy(self, name: str, policy: dict[str, Any]) -> None:
        """Write it, whatever was there; it holds at once for whoever has it."""
        self._asked(lambda: self._admin.policy_add(name, policy=policy))

    def user(self, name: str) -> dict[str, Any] | None:
        """A user's status and policyName; None when there is none of this name."""
        text = self._found(lambda: self._admin.user_info(name))
        return None if text is None else json.loads(text)

    def put_user(self, name: str, password: str) -> None:
        """Make it, or give it this secret; its policy stays."""
        self._asked(lambda: self._admin.user_add(name, password))

    def give_policy(self, user: str, policy: str) -> None:
        """Make it the only policy of the user."""
        self._asked(lambda: self._admin.policy_set(policy, user=user))

    def lets_in(self, user: str, password: str, bucket: str) -> bool:
        """Whether the user has this secret: a store shows no secrets, and answers HEAD with 403 for any reason."""
        try:
            next(iter(self._client(user, password).list_objects(bucket)), None)
        except S3Error as error:
            return error.code not in ("InvalidAccessKeyId", "SignatureDoesNotMatch")
        except (MinioException, HTTPError) as error:
            raise UnavailableError("store", str(error)) from error
        return True

    def rules(self, bucket: str) -> NotificationConfig:
        """What is announced, and where."""
        return self._asked(lambda: self._s3.get_bucket_notification(bucket))

    def put_rules(self, bucket: str, rules: NotificationConfig) -> None:
        """Announce this and nothing else; raises StoreError when a target is not known (yet)."""
        self._asked(lambda: self._s3.set_bucket_notification(bucket, rules))

    def target_arns(self) -> frozenset[str]:
        """The targets that a rule can name now."""
        return frozenset(json.loads(self._asked(self._admin.info)).get("sqsARN") or ())

    def target_settings(self) -> str:
        """The settings of all NATS targets as the server prints them."""
        return str(self._asked(lambda: self._admin.config_get("notify_nats")))

    def _client(self, user: str, password: str) -> Any:
        return Minio(
            self._host,
            access_key=user,
            secret_key=password,
            region=self._region,
            secure=self._secure,
            http_client=self._pool,
        )

    def _found(self, ask: Callable[[], T]) -> T | None:
        try:
            return self._asked(ask)
        except LookupError:
            return None

    def _asked(self, ask: Callable[[], T]) -> T:
        try:
            return ask()
        except S3Error as error:
            if error.code in _NOT_LET_IN:
                raise self._refused(str(error.code)) from error
            raise StoreError(f"{error.code}: {error.message}") from error
        except MinioAdminException as error:
            raise self._translated(error) from error
        except (MinioException, HTTPError) as error:
            raise UnavailableError("store", str(error)) from error

    def _translated(self, error: Any) -> Exception:
        text = str(error)
        if "NoSuchUser" in text or "NoSuchPolicy" in text:
            return LookupError(text)
        if any(code in text for code in _NOT_LET_IN):
            return self._refused(text)
        return StoreError(text)

    def _refused(self, why: str) -> SettingsError:
        return SettingsError(
            (f"{self._host}: expected the store's administrator in SLUICE_S3_ACCESS_KEY, found {why}",)
        )
