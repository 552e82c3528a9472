"""The kinds of value a setting can have: how each is checked, and how the rule is told to people."""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeAlias
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, PlainValidator, SecretStr, StringConstraints

from litellm_antigravity.settings.alert_names import ALERTS


@dataclass(frozen=True, slots=True)
class Allowed:
    """What a setting may be, as an error message and the reference say it."""

    text: str


_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}
_HOST = re.compile(r"[A-Za-z0-9._-]+")
_NOT_IN_A_URL = re.compile(r"[^\x21-\x7e]|[\\?#]")


def _boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    known = _BOOLEANS.get(str(value).strip().lower()) if isinstance(value, (str, int)) else None
    if known is None:
        msg = "not a boolean"
        raise ValueError(msg)
    return known


def _number(value: Any) -> Any:
    # Pydantic would take True for 1.0, and an integer that no float can hold would overflow.
    if isinstance(value, bool) or (isinstance(value, int) and value.bit_length() > 1023):
        msg = "not a number"
        raise ValueError(msg)
    return value


def _word_for_none(value: Any) -> Any:
    """Return ``None`` for the word, which takes back in an environment variable what a file says."""
    return None if isinstance(value, str) and value.strip().lower() in ("none", "null") else value


def _path(value: Path) -> Path:
    if value == Path() or "\0" in str(value):
        msg = "not a path"
        raise ValueError(msg)
    try:
        return value.expanduser()
    except RuntimeError as exc:  # `~name` of somebody this machine does not know
        msg = "no such home directory"
        raise ValueError(msg) from exc


def _is_loopback(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host.lower() == "localhost"
    return (
        address in ipaddress.ip_network("127.0.0.0/8")
        if address.version == 4
        else address == ipaddress.ip_address("::1")
    )


def _url(value: str) -> str:
    """Return ``value`` without trailing slashes.

    Stricter than RFC 3986 on purpose: what two URL parsers could read differently is refused, so that the host checked
    here is the host that gets the token.
    """
    msg = "not an allowed URL"
    if _NOT_IN_A_URL.search(value):
        raise ValueError(msg)
    parts = urlsplit(value)  # raises ValueError itself for a broken IPv6 address
    host = parts.hostname or ""
    is_ipv6 = parts.netloc.startswith("[")
    if is_ipv6:
        ipaddress.IPv6Address(host)
    elif not _HOST.fullmatch(host):
        raise ValueError(msg)
    # Nothing but host and port: this is what refuses user information. Reading the port checks its range.
    port = "" if parts.port is None else f":{parts.port}"
    if parts.netloc.lower() != (f"[{host}]" if is_ipv6 else host) + port:
        raise ValueError(msg)
    if parts.scheme != "https" and not (parts.scheme == "http" and _is_loopback(host)):
        raise ValueError(msg)
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"


Boolean: TypeAlias = Annotated[bool, BeforeValidator(_boolean), Allowed("true or false")]
_Finite: TypeAlias = Annotated[float, BeforeValidator(_number), Field(allow_inf_nan=False)]
NonNegative: TypeAlias = Annotated[_Finite, Field(ge=0), Allowed("a number >= 0")]
Positive: TypeAlias = Annotated[_Finite, Field(gt=0), Allowed("a number > 0")]
NonPositive: TypeAlias = Annotated[_Finite, Field(le=0), Allowed("a number <= 0")]
Count: TypeAlias = Annotated[int, BeforeValidator(_number), Field(ge=1), Allowed("a whole number >= 1")]
OptionalPositive: TypeAlias = Annotated[
    Annotated[_Finite, Field(gt=0)] | None, BeforeValidator(_word_for_none), Allowed("a number > 0, or none")
]
OptionalCount: TypeAlias = Annotated[
    Annotated[int, BeforeValidator(_number), Field(gt=0)] | None,
    BeforeValidator(_word_for_none),
    Allowed("a whole number > 0, or none"),
]
Location: TypeAlias = Annotated[Path, AfterValidator(_path), Allowed("a path")]
Url: TypeAlias = Annotated[
    str,
    StringConstraints(strip_whitespace=True),
    AfterValidator(_url),
    Allowed("an https:// URL without user name, query or fragment (http:// only for localhost, 127.0.0.0/8 and [::1])"),
]
HeaderText: TypeAlias = Annotated[
    str,
    StringConstraints(strip_whitespace=False, pattern=r"^[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?$"),
    Allowed("printable ASCII text on one line"),
]
Text: TypeAlias = Annotated[str, StringConstraints(strip_whitespace=True)]
OptionalText: TypeAlias = Annotated[Text | None, Allowed("text")]
OptionalSecret: TypeAlias = Annotated[SecretStr | None, Allowed("text")]


def _connection(value: Any) -> Any:
    """Return what a client is made of as one secret text: a URL, or a JSON object of redis-py's arguments."""
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if isinstance(value, Mapping):
        return SecretStr(json.dumps(dict(value)))
    if value is None or (isinstance(value, str) and value.strip().lower() in ("none", "null")):
        return None
    if isinstance(value, str) and re.fullmatch(r"off|(rediss?|unix)://\S+|\{.*\}", value.strip(), re.DOTALL):
        return SecretStr(value.strip())
    msg = "neither a URL nor an object"
    raise ValueError(msg)


def _secret_url(value: Any) -> Any:
    """Return an address that is a secret as a whole, since who knows it may write there; it may have a query."""
    value = _word_for_none(value.get_secret_value() if isinstance(value, SecretStr) else value)
    if value is None:
        return None
    if not isinstance(value, str):
        msg = "not a URL"
        raise ValueError(msg)
    address, _, query = value.strip().partition("?")
    _url(address)
    if _NOT_IN_A_URL.search(query):
        msg = "not an allowed URL"
        raise ValueError(msg)
    return SecretStr(value.strip())


OptionalSecretUrl: TypeAlias = Annotated[
    SecretStr | None,
    PlainValidator(_secret_url),
    Allowed("an https:// URL without user name or fragment (http:// only for localhost, 127.0.0.0/8 and [::1])"),
]


def _alerts(value: Any) -> Any:
    """Return the events of a list, or of a text with commas."""
    words = [one.strip() for one in value.split(",")] if isinstance(value, str) else value
    if not isinstance(words, (list, tuple)) or not all(isinstance(one, str) for one in words):
        msg = "not a list of events"
        raise ValueError(msg)
    if [*words] in (["all"], ["none"]):
        return ALERTS if words[0] == "all" else ()
    if not {*words} <= {*ALERTS}:
        msg = "no such event"
        raise ValueError(msg)
    return tuple(one for one in ALERTS if one in words)


AlertEvents: TypeAlias = Annotated[
    tuple[str, ...],
    PlainValidator(_alerts),
    Allowed(f"'all', 'none', or a list of {', '.join(ALERTS)}"),
]


OptionalConnection: TypeAlias = Annotated[
    SecretStr | None,
    PlainValidator(_connection),
    Allowed("a redis://, rediss:// or unix:// URL, an object of redis-py's arguments, or off"),
]
Namespace: TypeAlias = Annotated[
    str,
    StringConstraints(strip_whitespace=True, pattern=r"^[A-Za-z0-9_.:/-]{1,100}$"),
    Allowed("up to 100 letters, digits, and any of _ . : / -"),
]


def _table_or_path(value: Any) -> Any:
    # Not pydantic's union: that would take a list of pairs for an object, and anything with a path protocol.
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, (str, Path)):
        return _path(Path(value))
    if value is None:
        return None
    msg = "neither a path nor an object"
    raise ValueError(msg)


OptionalTable: TypeAlias = Annotated[
    Path | dict[str, Any] | None, PlainValidator(_table_or_path), Allowed("a path or an object")
]
