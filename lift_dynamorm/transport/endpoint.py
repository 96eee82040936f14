"""Which region, which host, and how to connect to it."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from ..errors import UsageError
from .credentials import aws_files_exist, is_loopback

if TYPE_CHECKING:
    from ssl import SSLContext

_DOMAINS = {
    "cn-": "amazonaws.com.cn",
    "eusc-": "amazonaws.eu",
    "us-iso-": "c2s.ic.gov",
    "us-isob-": "sc2s.sgov.gov",
    "eu-isoe-": "cloud.adc-e.uk",
    "us-isof-": "csp.hci.ic.gov",
}
_AWS = re.compile(
    r"(?:[0-9]+\.ddb|dynamodb(?P<fips>-fips)?)\.(?P<rest>(?P<region>[a-z0-9-]+)\.(?:api\.aws|api\.amazonwebservices\.\S+|"
    + "|".join(map(re.escape, sorted({"amazonaws.com", *_DOMAINS.values()})))
    + "))"
)
STREAM_OPERATIONS = frozenset({"DescribeStream", "GetRecords", "GetShardIterator", "ListStreams"})
"""What DynamoDB Streams answers: a service of its own on AWS, with its own host; elsewhere the same endpoint."""
_NO_REGION = "No AWS region. Set AWS_REGION, pass region=..., or set a region in ~/.aws/config."


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where requests go; `authority` is what the Host header says."""

    host: str
    port: int
    secure: bool
    authority: str

    @property
    def loopback(self) -> bool:
        """Whether it is a plain http address on this machine: DynamoDB Local and its like."""
        return not self.secure and is_loopback(self.host)


@dataclass(frozen=True, slots=True)
class Settings:
    """How a pool connects: times are seconds, and `keepalive` is how long a connection may be idle."""

    endpoint: Endpoint
    max_connections: int
    connect_timeout: float
    read_timeout: float
    keepalive: float
    ssl_context: SSLContext | None = None

    def tls(self) -> SSLContext | None:
        """Return the context for https, None for http; the default one verifies, and is made once a process."""
        if not self.endpoint.secure:
            return None
        return self.ssl_context or _verifying_context(os.environ.get("AWS_CA_BUNDLE") or None)


@cache
def _verifying_context(bundle: str | None) -> SSLContext:
    import ssl

    try:
        context = ssl.create_default_context(cafile=bundle)
    except OSError as error:
        raise UsageError(f"AWS_CA_BUNDLE={bundle} cannot be read as certificates: {error}") from error
    context.set_alpn_protocols(["http/1.1"])
    return context


def parse_endpoint(url: str) -> Endpoint:
    """Read ``scheme://host[:port]``. Raises UsageError."""
    from urllib.parse import urlsplit

    mend = "Write it as https://host or http://host:port."
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise UsageError(f"The endpoint {url!r} cannot be read: {error}. {mend}") from None
    if parts.scheme not in ("http", "https") or not host:
        raise UsageError(f"The endpoint {url!r} is not an http or https URL. {mend}")
    if parts.path not in ("", "/") or parts.query or parts.fragment or "@" in parts.netloc:
        raise UsageError(f"The endpoint {url!r} has more than a host and a port. {mend}")
    if not url.isascii() or not url.isprintable() or " " in url:
        raise UsageError(f"The endpoint {url!r} holds characters that no host name has. {mend}")
    secure = parts.scheme == "https"
    standard = 443 if secure else 80
    bare = f"[{host}]" if ":" in host else host
    authority = bare if port is None or port == standard else f"{bare}:{port}"
    return Endpoint(host, standard if port is None else port, secure, authority)


def regional_endpoint(region: str) -> str:
    """Return the URL of DynamoDB in a region, with the domain of the region's partition."""
    if not region.replace("-", "").isalnum() or not region.isascii():
        raise UsageError(f"{region!r} is not a region. One looks like eu-west-1.")
    domain = next((domain for prefix, domain in _DOMAINS.items() if region.startswith(prefix)), "amazonaws.com")
    return f"https://dynamodb.{region}.{domain}"


def streams_endpoint(url: str) -> str:
    """Return the URL of DynamoDB Streams that goes with one of DynamoDB: AWS has another host, all else the same."""
    endpoint = parse_endpoint(url)
    found = _AWS.fullmatch(endpoint.authority)
    if found is None:
        return url
    fips = "" if found["region"].startswith("us-gov-") else found["fips"] or ""
    return f"{'https' if endpoint.secure else 'http'}://streams.dynamodb{fips}.{found['rest']}"


def environment_endpoint() -> str | None:
    """Return what AWS_ENDPOINT_URL_DYNAMODB or AWS_ENDPOINT_URL says, unless AWS is told to ignore them."""
    if os.environ.get("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "").lower() == "true":
        return None
    return os.environ.get("AWS_ENDPOINT_URL_DYNAMODB") or os.environ.get("AWS_ENDPOINT_URL") or None


def environment_streams_endpoint() -> str | None:
    """Return what AWS_ENDPOINT_URL_DYNAMODB_STREAMS says, unless AWS is told to ignore it."""
    if os.environ.get("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "").lower() == "true":
        return None
    return os.environ.get("AWS_ENDPOINT_URL_DYNAMODB_STREAMS") or None


def environment_region() -> str | None:
    """Return what AWS_REGION or AWS_DEFAULT_REGION says."""
    return os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or None


def configured_region(profile: str | None) -> str:
    """Read the region from AWS's configuration files, through botocore; blocks. Raises UsageError."""
    if not aws_files_exist():
        raise UsageError(_NO_REGION)
    try:
        from botocore.exceptions import BotoCoreError
        from botocore.session import Session
    except ImportError:
        raise UsageError(f"{_NO_REGION} (Reading the file needs botocore: pip install botocore)") from None
    try:
        region = Session(profile=profile).get_config_variable("region")
    except BotoCoreError as error:
        raise UsageError(f"{_NO_REGION} ({error})") from error
    if not region:
        raise UsageError(_NO_REGION)
    return str(region)
