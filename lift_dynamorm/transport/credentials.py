"""AWS credentials: where they come from, and when they are renewed."""

from __future__ import annotations

import logging
import os
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from ..errors import CredentialsError

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop, Task
    from collections.abc import Callable

logger: logging.Logger = logging.getLogger("lift_dynamorm.credentials")

ADVISORY = 15 * 60
"""Seconds before the end at which one caller renews the credentials while the others go on with the old ones."""
MANDATORY = 60
"""Seconds before the end at which every caller waits for new credentials."""
RETRY = 60
"""Seconds after an attempt to renew before the next one, while the old credentials are good."""
BOTOCORE_WINDOW = 10 * 60
"""What botocore hands out is good for at least this many seconds: its own mandatory refresh comes before."""

_CONTAINER_HOST = "169.254.170.2"
_CONTAINER_HOSTS = frozenset({_CONTAINER_HOST, "169.254.170.23", "fd00:ec2::23", "localhost"})
_CONTAINER_TIMEOUT = 2.0
_CONTAINER_ATTEMPTS = 3

_NONE_FOUND = (
    "No AWS credentials. Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (and AWS_SESSION_TOKEN for temporary ones), "
    "or AWS_PROFILE, or run with a role (Lambda, ECS, EKS, EC2). An endpoint at http://127.0.0.1 needs none."
)


@dataclass(frozen=True, slots=True)
class Credentials:
    """One set of credentials; `expires_at` is in epoch seconds, None for never."""

    access_key: str
    secret_key: str = field(repr=False)
    token: str | None = field(default=None, repr=False)
    expires_at: float | None = None

    def __post_init__(self) -> None:
        for name, value in (("access key", self.access_key), ("session token", self.token or "-")):
            if not value or not value.isascii() or not value.isprintable() or " " in value:
                raise CredentialsError(f"The {name} is empty, or holds blanks or characters that no header can carry.")
        if not self.secret_key:
            raise CredentialsError("The secret key is empty: set AWS_SECRET_ACCESS_KEY.")


class CredentialsProvider(Protocol):
    """Where a transport gets its credentials; `current` is asked before every request and does no I/O."""

    def current(self, now: float) -> Credentials | None:
        """Return the credentials at hand, or None where `get` must be asked; `now` is in epoch seconds."""
        ...

    def get(self) -> Credentials:
        """Return credentials, reading them first if need be; may block. Raises CredentialsError."""
        ...

    async def aget(self) -> Credentials:
        """As `get`, without blocking the event loop."""
        ...


class StaticCredentials:
    """Provide credentials that never change."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials

    def current(self, now: float) -> Credentials | None:
        return self._credentials

    def get(self) -> Credentials:
        return self._credentials

    async def aget(self) -> Credentials:
        return self._credentials


class RefreshingCredentials:
    """Keep what `load` returned, and load again before it expires: one caller at a time, never per request.

    load: may block; it runs in a thread when asked for from an event loop.
    quick: asked before `load`; must not block. None from it means: ask `load`.

    While the old credentials are good, a failure to renew them is logged and tried again after a minute.
    """

    def __init__(
        self,
        load: Callable[[], Credentials],
        *,
        quick: Callable[[], Credentials | None] = lambda: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._load = load
        self._quick = quick
        self._clock = clock
        self._held: Credentials | None = None
        self._renew_at = 0.0
        self._lock = threading.Lock()
        self._task: tuple[AbstractEventLoop, Task[Credentials]] | None = None

    def current(self, now: float) -> Credentials | None:
        return self._held if now < self._renew_at else None

    def get(self) -> Credentials:
        held = self._held
        if self._lock.acquire(blocking=held is None or not self._good(held)):
            try:
                return self.current(self._clock()) or self._renew()
            finally:
                self._lock.release()
        assert held is not None
        return held

    async def aget(self) -> Credentials:
        if not self._lock.locked() and (found := self._quick()) is not None:
            return self._keep(found)
        import asyncio

        loop = asyncio.get_running_loop()
        if self._task is None or self._task[0] is not loop or self._task[1].done():
            task = loop.create_task(asyncio.to_thread(self.get))
            task.add_done_callback(_retrieve)
            self._task = (loop, task)
        held = self._held
        if held is not None and self._good(held):
            return held
        return await asyncio.shield(self._task[1])

    def _good(self, credentials: Credentials) -> bool:
        return credentials.expires_at is None or credentials.expires_at - self._clock() > MANDATORY

    def _renew(self) -> Credentials:
        try:
            return self._keep(self._quick() or self._load())
        except Exception as error:
            held = self._held
            now = self._clock()
            if held is None or (held.expires_at is not None and held.expires_at <= now):
                if isinstance(error, CredentialsError):
                    raise
                raise CredentialsError(f"AWS credentials could not be read: {error}") from error
            self._renew_at = now + RETRY if held.expires_at is None else min(now + RETRY, held.expires_at)
            logger.warning("AWS credentials could not be renewed; the old ones are still good", exc_info=True)
            return held

    def _keep(self, credentials: Credentials) -> Credentials:
        now = self._clock()
        ends = credentials.expires_at
        if ends is None:
            renew_at = float("inf")
        elif ends <= now:
            raise CredentialsError("The AWS credentials have expired, and there are no newer ones. Is the clock right?")
        else:
            renew_at = max(ends - ADVISORY, min(now + RETRY, ends))
        self._held = credentials
        self._renew_at = renew_at
        return credentials


def _retrieve(task: Task[Credentials]) -> None:
    """Mark a background failure as seen; whoever waits for the task gets it all the same."""
    if not task.cancelled():
        task.exception()


def default_credentials(*, profile: str | None = None, local: bool = False) -> CredentialsProvider:
    """Return the provider for AWS's own order: environment, container, and all else through botocore.

    profile: skips the environment's keys, as boto3 does. Nothing is read before the first request.
    local: for an endpoint on this machine that checks no signatures: with nothing in the environment
    the pair local/local is used.
    """
    if profile is not None:
        return RefreshingCredentials(BotocoreCredentials(profile))

    def quick() -> Credentials | None:
        found = from_environment()
        if found is None and local and not (_names_profile() or _names_container()):
            return Credentials("local", "local")
        return found

    botocore = BotocoreCredentials(None)

    def load() -> Credentials:
        if _names_container() and not _names_profile() and not aws_files_exist():
            return from_container()
        return botocore()

    return RefreshingCredentials(load, quick=quick)


def from_environment() -> Credentials | None:
    """Read AWS_ACCESS_KEY_ID and its fellows, if set."""
    access_key = os.environ.get("AWS_ACCESS_KEY_ID")
    if not access_key:
        return None
    secret_key = os.environ.get("AWS_SECRET_ACCESS_KEY")
    if not secret_key:
        raise CredentialsError("AWS_ACCESS_KEY_ID is set and AWS_SECRET_ACCESS_KEY is not: set both.")
    token = os.environ.get("AWS_SESSION_TOKEN") or os.environ.get("AWS_SECURITY_TOKEN") or None
    expiration = os.environ.get("AWS_CREDENTIAL_EXPIRATION")
    return Credentials(access_key, secret_key, token, _epoch(expiration) if expiration else None)


def from_container() -> Credentials:
    """Ask the credentials endpoint of ECS or EKS Pod Identity.

    https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html
    """
    import orjson

    relative = os.environ.get("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI")
    url = f"http://{_CONTAINER_HOST}{relative}" if relative else os.environ["AWS_CONTAINER_CREDENTIALS_FULL_URI"]
    headers = {"Accept": "application/json"}
    if token_file := os.environ.get("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"):
        try:
            with open(token_file, encoding="utf-8") as file:
                headers["Authorization"] = file.read()
        except OSError as error:
            raise CredentialsError(f"AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE cannot be read: {error}") from error
    elif token := os.environ.get("AWS_CONTAINER_AUTHORIZATION_TOKEN"):
        headers["Authorization"] = token
    if any(character in headers.get("Authorization", "") for character in "\r\n"):
        raise CredentialsError("The container authorization token holds a line break, which no header can carry.")

    answer = orjson.loads(_fetch(url, headers))
    try:
        return Credentials(
            answer["AccessKeyId"], answer["SecretAccessKey"], answer.get("Token"), _epoch(answer["Expiration"])
        )
    except KeyError as error:
        raise CredentialsError(f"The container's credentials endpoint answered without {error}.") from error


def _fetch(url: str, headers: dict[str, str]) -> bytes:
    from http.client import HTTPConnection, HTTPException, HTTPSConnection
    from urllib.parse import urlsplit

    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme not in ("http", "https"):
        raise CredentialsError(f"AWS_CONTAINER_CREDENTIALS_FULL_URI must be an http or https URL, not {url!r}.")
    if parts.scheme == "http" and host not in _CONTAINER_HOSTS and not is_loopback(host):
        raise CredentialsError(
            f"AWS_CONTAINER_CREDENTIALS_FULL_URI names {host!r}: credentials are fetched over plain http only from "
            f"this machine or {', '.join(sorted(_CONTAINER_HOSTS))}. Use https."
        )
    connect = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    problem = ""
    for attempt in range(_CONTAINER_ATTEMPTS):
        if attempt:
            time.sleep(0.2 * attempt)
        connection = connect(host, parts.port, timeout=_CONTAINER_TIMEOUT)
        try:
            connection.request("GET", path, headers=headers)
            response = connection.getresponse()
            body = response.read()
        except (OSError, HTTPException) as error:
            problem = str(error) or type(error).__name__
        else:
            if response.status == 200:
                return body
            problem = f"status {response.status}: {body[:200].decode(errors='replace')}"
        finally:
            connection.close()
    raise CredentialsError(f"The container's credentials endpoint at {host} failed: {problem}")


class BotocoreCredentials:
    """Read credentials through botocore's resolver: profiles, SSO, assumed roles, web identity, processes, EC2.

    botocore renews what it hands out by itself; it is asked again before that can matter.
    """

    def __init__(self, profile: str | None) -> None:
        self._profile = profile
        self._found: Any = None

    def __call__(self) -> Credentials:
        if self._found is None:
            self._found = self._resolve()
        from botocore.credentials import RefreshableCredentials
        from botocore.exceptions import BotoCoreError

        try:
            frozen = self._found.get_frozen_credentials()
        except BotoCoreError as error:
            raise CredentialsError(f"AWS credentials could not be renewed: {error}") from error
        renewed = isinstance(self._found, RefreshableCredentials)
        expires_at = time.time() + BOTOCORE_WINDOW if renewed else None
        return Credentials(frozen.access_key, frozen.secret_key, frozen.token, expires_at)

    def _resolve(self) -> Any:
        try:
            from botocore.exceptions import BotoCoreError
            from botocore.session import Session
        except ImportError:
            raise CredentialsError(f"{_NONE_FOUND} (Profiles and roles need botocore: pip install botocore)") from None
        try:
            found = Session(profile=self._profile).get_credentials()
        except BotoCoreError as error:
            raise CredentialsError(f"AWS credentials could not be read: {error}") from error
        if found is None:
            raise CredentialsError(_NONE_FOUND)
        return found


def _names_container() -> bool:
    environ = os.environ
    return bool(
        environ.get("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") or environ.get("AWS_CONTAINER_CREDENTIALS_FULL_URI")
    )


def _names_profile() -> bool:
    """Tell whether the environment asks for something that only botocore can resolve."""
    return any(map(os.environ.get, ("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_WEB_IDENTITY_TOKEN_FILE")))


def aws_files_exist() -> bool:
    """Tell whether there are AWS configuration files; botocore looks there before it asks the container."""
    config = os.environ.get("AWS_CONFIG_FILE") or "~/.aws/config"
    shared = os.environ.get("AWS_SHARED_CREDENTIALS_FILE") or "~/.aws/credentials"
    return any(os.path.exists(os.path.expanduser(path)) for path in (config, shared))


def is_loopback(host: str) -> bool:
    """Tell whether a host name or address is certainly this machine."""
    if host == "localhost":
        return True
    if not host[:1].isdigit() and ":" not in host:
        return False
    from ipaddress import ip_address

    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _epoch(moment: str) -> float:
    """Read an ISO 8601 time as epoch seconds; without an offset it is UTC."""
    from datetime import UTC, datetime

    try:
        parsed = datetime.fromisoformat(moment)
    except ValueError:
        raise CredentialsError(f"The credentials' expiry {moment!r} is not an ISO 8601 time.") from None
    return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()
