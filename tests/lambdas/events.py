"""Build the event that each HTTP source of Lambda makes of one request, and read the answer back.

The shapes are AWS's own samples:

- REST API: https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html
- HTTP API: https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html
- ALB: https://docs.aws.amazon.com/elasticloadbalancing/latest/application/lambda-functions.html
- function URL: https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html

Where the sources differ in what they decode, each builder does as its service does: the HTTP API alone decodes the
path, the ALB alone leaves the query encoded, the REST API alone keeps the case of header names.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import quote_plus, unquote, urlencode

Event = dict[str, Any]
Pairs = Iterable[tuple[str, str]]

SOURCE_IP = "203.0.113.7"
USER_AGENT = "curl/8.9.1"
TRACE_ID = "Root=1-5e9f0c65-1de4d666d4dd26aced652b6c"
REQUEST_ID = "deef4878-7910-11e6-8f14-25afc3e9ae33"
TIME = "12/Mar/2020:19:03:58 +0000"
TIME_EPOCH = 1583348638390


class Builder(Protocol):
    def __call__(
        self,
        method: str,
        path: str = "/",
        *,
        query: Pairs = (),
        headers: Pairs = (),
        body: str | bytes | None = None,
        base64_encoded: bool | None = None,
    ) -> Event:
        """Build the event of a request for `path`, percent-encoded as on the request line.

        `query` is not encoded yet. `base64_encoded` None leaves it to the rule of the service.
        """


def rest_api(
    method: str,
    path: str = "/",
    *,
    query: Pairs = (),
    headers: Pairs = (),
    body: str | bytes | None = None,
    base64_encoded: bool | None = None,
) -> Event:
    """API Gateway REST API (payload format 1.0), regional, `{proxy+}`, with `*/*` among its binary types."""
    host = "gy415nuibc.execute-api.us-east-1.amazonaws.com"
    sent = _with_defaults(
        headers,
        ("Accept", "*/*"),
        ("Host", host),
        ("User-Agent", USER_AGENT),
        ("X-Amzn-Trace-Id", TRACE_ID),
        ("X-Forwarded-For", SOURCE_IP),
        ("X-Forwarded-Port", "443"),
        ("X-Forwarded-Proto", "https"),
    )
    multi_headers = _grouped(sent)
    multi_query = _grouped(query)
    resource = "/" if path == "/" else "/{proxy+}"
    text, encoded = _body(body, base64_encoded, is_text=_is_utf8(body))
    return {
        "resource": resource,
        "path": path,
        "httpMethod": method,
        "headers": _last(multi_headers),
        "multiValueHeaders": multi_headers,
        "queryStringParameters": _last(multi_query) or None,
        "multiValueQueryStringParameters": multi_query or None,
        "pathParameters": None if path == "/" else {"proxy": path[1:]},
        "stageVariables": None,
        "requestContext": {
            "resourceId": "roq9wj",
            "resourcePath": resource,
            "operationName": None,
            "httpMethod": method,
            "extendedRequestId": "JJbxmFZWIAMFvTA=",
            "requestTime": TIME,
            "path": f"/prod{path}",
            "accountId": "123456789012",
            "protocol": "HTTP/1.1",
            "stage": "prod",
            "domainPrefix": "gy415nuibc",
            "requestTimeEpoch": TIME_EPOCH,
            "requestId": REQUEST_ID,
            "identity": {
                "cognitoIdentityPoolId": None,
                "accountId": None,
                "cognitoIdentityId": None,
                "caller": None,
                "sourceIp": SOURCE_IP,
                "principalOrgId": None,
                "accessKey": None,
                "cognitoAuthenticationType": None,
                "cognitoAuthenticationProvider": None,
                "userArn": None,
                "userAgent": USER_AGENT,
                "user": None,
            },
            "domainName": host,
            "apiId": "gy415nuibc",
        },
        "body": text,
        "isBase64Encoded": encoded,
    }


def http_api(
    method: str,
    path: str = "/",
    *,
    query: Pairs = (),
    headers: Pairs = (),
    body: str | bytes | None = None,
    base64_encoded: bool | None = None,
) -> Event:
    """API Gateway HTTP API (payload format 2.0), `$default` route and stage.

    It decodes the path, and ends it at a decoded question mark.
    """
    decoded = unquote(path).partition("?")[0]
    event = _format_2(
        method,
        decoded,
        host="aaaaaaaaaa.execute-api.us-west-2.amazonaws.com",
        query=list(query),
        headers=headers,
        body=body,
        base64_encoded=base64_encoded,
    )
    event["requestContext"]["apiId"] = event["requestContext"]["domainPrefix"]
    return event


def function_url(
    method: str,
    path: str = "/",
    *,
    query: Pairs = (),
    headers: Pairs = (),
    body: str | bytes | None = None,
    base64_encoded: bool | None = None,
) -> Event:
    """Lambda function URL with AuthType NONE: payload format 2.0, the path as it was sent."""
    event = _format_2(
        method,
        path,
        host="abcdefghijklmnopqrstuvwxyz012345.lambda-url.us-west-2.on.aws",
        query=list(query),
        headers=headers,
        body=body,
        base64_encoded=base64_encoded,
    )
    event["requestContext"] |= {
        "accountId": "anonymous",
        "apiId": event["requestContext"]["domainPrefix"],
        "authentication": None,
    }
    return event | {"pathParameters": None, "stageVariables": None}


def alb(
    method: str,
    path: str = "/",
    *,
    query: Pairs = (),
    headers: Pairs = (),
    body: str | bytes | None = None,
    base64_encoded: bool | None = None,
) -> Event:
    """Application Load Balancer; of a repeated header or parameter the function sees the last."""
    event = alb_multi_value(method, path, query=query, headers=headers, body=body, base64_encoded=base64_encoded)
    event["headers"] = _last(event.pop("multiValueHeaders"))
    event["queryStringParameters"] = _last(event.pop("multiValueQueryStringParameters"))
    return event


def alb_multi_value(
    method: str,
    path: str = "/",
    *,
    query: Pairs = (),
    headers: Pairs = (),
    body: str | bytes | None = None,
    base64_encoded: bool | None = None,
) -> Event:
    """Application Load Balancer whose target group has multi-value headers enabled."""
    sent = _with_defaults(
        ((name.lower(), value) for name, value in headers),
        ("accept", "*/*"),
        ("host", "lambda-846800462-us-east-2.elb.amazonaws.com"),
        ("user-agent", USER_AGENT),
        ("x-amzn-trace-id", TRACE_ID),
        ("x-forwarded-for", SOURCE_IP),
        ("x-forwarded-port", "443"),
        ("x-forwarded-proto", "https"),
    )
    names = {name for name, _ in sent}
    is_text = "content-encoding" not in names and _is_text_type(sent)
    text, encoded = _body(body, base64_encoded, is_text=is_text)
    return {
        "requestContext": {
            "elb": {
                "targetGroupArn": (
                    "arn:aws:elasticloadbalancing:us-east-2:123456789012:targetgroup/my-target-group/6d0ecf831eec9f09"
                )
            }
        },
        "httpMethod": method,
        "path": path,
        "multiValueQueryStringParameters": _grouped((quote_plus(name), quote_plus(value)) for name, value in query),
        "multiValueHeaders": _grouped(sent),
        "body": text or "",
        "isBase64Encoded": encoded,
    }


SOURCES: dict[str, Builder] = {
    "rest-api": rest_api,
    "http-api": http_api,
    "alb": alb,
    "alb-multi-value": alb_multi_value,
    "function-url": function_url,
}


@dataclass(frozen=True, slots=True)
class Answer:
    """What the client of the source gets to see of a function's response."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    @classmethod
    def of(cls, response: Event) -> Answer:
        """Read a response in any of the formats."""
        multi: dict[str, list[str]] = response.get("multiValueHeaders") or {}
        single: dict[str, str] = response.get("headers") or {}
        headers = [(name.lower(), value) for name, values in multi.items() for value in values]
        headers += [(name.lower(), value) for name, value in single.items() if name not in multi]
        headers += [("set-cookie", cookie) for cookie in response.get("cookies") or ()]
        text: str = response.get("body") or ""
        body = base64.b64decode(text, validate=True) if response.get("isBase64Encoded") else text.encode()
        return cls(response["statusCode"], headers, body)

    def header(self, name: str) -> str | None:
        """Return the first value of a header."""
        return next((value for key, value in self.headers if key == name.lower()), None)


def _format_2(
    method: str,
    path: str,
    *,
    host: str,
    query: list[tuple[str, str]],
    headers: Pairs,
    body: str | bytes | None,
    base64_encoded: bool | None,
) -> Event:
    sent = _with_defaults(
        ((name.lower(), value) for name, value in headers),
        ("accept", "*/*"),
        ("content-length", str(len(body.encode() if isinstance(body, str) else body or b""))),
        ("host", host),
        ("user-agent", USER_AGENT),
        ("x-amzn-trace-id", TRACE_ID),
        ("x-forwarded-for", SOURCE_IP),
        ("x-forwarded-port", "443"),
        ("x-forwarded-proto", "https"),
    )
    grouped = _grouped(sent)
    cookies = [cookie.strip() for header in grouped.pop("cookie", []) for cookie in header.split(";")]
    event: Event = {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": urlencode(query),
        "headers": {name: ",".join(values) for name, values in grouped.items()},
        "requestContext": {
            "accountId": "123456789012",
            "domainName": host,
            "domainPrefix": host.partition(".")[0],
            "http": {
                "method": method,
                "path": path,
                "protocol": "HTTP/1.1",
                "sourceIp": SOURCE_IP,
                "userAgent": USER_AGENT,
            },
            "requestId": "LV7fzho-PHcEJPw=",
            "routeKey": "$default",
            "stage": "$default",
            "time": TIME,
            "timeEpoch": TIME_EPOCH,
        },
    }
    if cookies:
        event["cookies"] = cookies
    if query:
        event["queryStringParameters"] = {name: ",".join(values) for name, values in _grouped(query).items()}
    text, event["isBase64Encoded"] = _body(body, base64_encoded, is_text=_is_text_type(sent))
    if text is not None:
        event["body"] = text
    return event


def _with_defaults(headers: Pairs, *defaults: tuple[str, str]) -> list[tuple[str, str]]:
    sent = list(headers)
    names = {name.lower() for name, _ in sent}
    return sent + [(name, value) for name, value in defaults if name.lower() not in names]


def _grouped(pairs: Pairs) -> dict[str, list[str]]:
    grouped: dict[str, list[str]] = {}
    for name, value in pairs:
        grouped.setdefault(name, []).append(value)
    return grouped


def _last(grouped: dict[str, list[str]]) -> dict[str, str]:
    return {name: values[-1] for name, values in grouped.items()}


def _is_text_type(headers: Pairs) -> bool:
    """Tell whether the ALB, the HTTP API and function URLs pass a body of this content type as text."""
    kind = next((value for name, value in headers if name.lower() == "content-type"), "").partition(";")[0].strip()
    return kind.startswith("text/") or kind in ("application/json", "application/javascript", "application/xml")


def _is_utf8(body: str | bytes | None) -> bool:
    if isinstance(body, bytes):
        try:
            body.decode()
        except UnicodeDecodeError:
            return False
    return True


def _body(body: str | bytes | None, base64_encoded: bool | None, *, is_text: bool) -> tuple[str | None, bool]:
    """Return the body as the event holds it, and whether that is base64; a request without one is never base64."""
    if body is None:
        return None, False
    raw = body.encode() if isinstance(body, str) else body
    if base64_encoded if base64_encoded is not None else not is_text:
        return base64.b64encode(raw).decode(), True
    return raw.decode(), False
