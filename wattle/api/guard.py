"""Who may call (design.md, section 6): looked at before any view, for every path and method.

Running commands over HTTP is what Wattle is for, so a web page must not be able to do it through a visitor's
browser. A rebound DNS name shows in `Host`, a foreign page in `Origin` or `Sec-Fetch-Site`, a form in its content
type. Requests without an Origin (curl, scripts) pass. The Host is parsed here because Werkzeug's `TRUSTED_HOSTS`
refuses `[::1]:9240` and `LOCALHOST`.
"""

import re
from ipaddress import IPv4Address, IPv6Address

from flask import Flask, Response, request

from wattle.config import Config
from wattle.definition.problems import shown
from wattle.errors import Forbidden, NotFound, TooLarge, UnsupportedMedia

DEFINITION_BYTES = 64 * 1024 * 1024
BODY_BYTES = 1024 * 1024

_AUTHORITY = re.compile(r"(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<name>[^\s\[\]:/@?#,\\]+))(?::[0-9]{0,5})?", re.ASCII)
_ORIGIN = re.compile(r"https?://(?P<authority>[^/]+)", re.IGNORECASE)
_DEFINITIONS = re.compile(r"/api(?:/v1)?/workflows(?:/[^/]+)?/?")

_PREFLIGHT = {
    "Access-Control-Allow-Methods": "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS",
    "Access-Control-Allow-Headers": "Accept-Language, Authorization, Content-Type, Idempotency-Key, Last-Event-ID",
    "Access-Control-Max-Age": "600",
}
_EXPOSED = "x-total-count, content-range, location, retry-after"


def host_of(authority: str) -> str | None:
    """The host in a `Host` header or an origin, in lower case, without port, brackets and final dot; None: no host."""
    match = _AUTHORITY.fullmatch(authority)
    if match is None:
        return None
    if match["v6"] is not None:
        return str(IPv6Address(match["v6"])) if _is_address(IPv6Address, match["v6"]) else None
    return match["name"].lower().removesuffix(".") or None


def is_host_allowed(value: str | None, allowed: frozenset[str]) -> bool:
    """IP literals (they cannot be rebound), `localhost`, and the configured ones. The port is not compared."""
    host = host_of(value or "")
    if host is None:
        return False
    is_literal = _is_address(IPv4Address, host) or _is_address(IPv6Address, host)
    return is_literal or host == "localhost" or host in allowed


def is_origin_allowed(value: str, allowed: frozenset[str]) -> bool:
    """Loopback origins at any port, and the configured ones. `null` (a sandboxed frame, a file) is neither."""
    match = _ORIGIN.fullmatch(value)
    host = host_of(match["authority"]) if match else None
    if host is None:
        return False
    return host in ("localhost", "::1") or _is_loopback_v4(host) or value.lower() in allowed


def install(app: Flask, config: Config) -> None:
    hosts = frozenset(filter(None, map(host_of, config.allow_hosts)))
    origins = frozenset(origin.lower().rstrip("/") for origin in config.allow_origins)

    @app.before_request
    def look() -> Response | None:
        _check_caller(hosts, origins)
        if request.method == "OPTIONS" and request.origin and "Access-Control-Request-Method" in request.headers:
            return Response(status=204, headers=_PREFLIGHT)
        _check_path()
        _check_body()
        return None

    @app.after_request
    def add_headers(response: Response) -> Response:
        response.vary.update(("Origin", "Accept-Language"))
        response.headers.setdefault("Cache-Control", "no-store")
        response.headers["X-Content-Type-Options"] = "nosniff"
        if request.origin is not None and is_origin_allowed(request.origin, origins):
            response.headers["Access-Control-Allow-Origin"] = request.origin
            response.headers["Access-Control-Expose-Headers"] = _EXPOSED
        return response


def _check_caller(hosts: frozenset[str], origins: frozenset[str]) -> None:
    host, origin = request.headers.get("Host"), request.headers.get("Origin")
    if not is_host_allowed(host, hosts):
        raise Forbidden(
            "HOST_NOT_ALLOWED",
            f"Wattle does not answer to the host '{shown(host or '')}'; use localhost or an IP address, "
            "or start it with --allow-host",
        )
    if origin is not None:
        if not is_origin_allowed(origin, origins):
            raise Forbidden(
                "ORIGIN_NOT_ALLOWED",
                f"Pages from '{shown(origin)}' may not call Wattle; start it with --allow-origin if they should",
            )
    elif "cross-site" in request.headers.get("Sec-Fetch-Site", "").lower():
        raise Forbidden("ORIGIN_NOT_ALLOWED", "Pages from other sites may not call Wattle")


def _check_path() -> None:
    """WSGI decodes the path, so that `a%2Fstop` would reach the verb `stop` of `a`: no name holds a slash."""
    raw = request.environ.get("REQUEST_URI", "").partition("?")[0]
    if _is_api() and "%2f" in raw.lower():
        raise NotFound("NOT_FOUND", f"There is nothing at {shown(raw)}: no name holds a '/'")


def _check_body() -> None:
    is_definition = request.method in ("POST", "PUT") and _DEFINITIONS.fullmatch(request.path) is not None
    limit = DEFINITION_BYTES if is_definition else BODY_BYTES
    request.max_content_length = limit
    length = request.content_length
    if length is None:
        length = len(request.get_data()) if request.environ.get("wsgi.input_terminated") else 0
    if length > limit:
        raise TooLarge("BODY_TOO_LARGE", f"The body has {length} bytes; the limit here is {limit} bytes")
    if length and _is_api() and not _is_json():
        raise UnsupportedMedia("UNSUPPORTED_MEDIA_TYPE", "The body must be sent as Content-Type: application/json")


def _is_api() -> bool:
    return request.path == "/api" or request.path.startswith("/api/")


def _is_json() -> bool:
    """JSON has one encoding; a charset that says otherwise is taken at its word."""
    charset = request.mimetype_params.get("charset", "utf-8")
    return request.mimetype == "application/json" and charset.lower() in ("utf-8", "utf8")


def _is_loopback_v4(host: str) -> bool:
    return _is_address(IPv4Address, host) and IPv4Address(host).is_loopback


def _is_address(kind: type[IPv4Address] | type[IPv6Address], text: str) -> bool:
    try:
        kind(text)
    except ValueError:
        return False
    return True
