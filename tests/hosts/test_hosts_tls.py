"""Hosts whose Redis speaks TLS: what it shows is checked, and the setting may be a URL or redis-py's arguments."""

from __future__ import annotations

import datetime as dt
import functools
import ipaddress
import json
import logging
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from joined_hosts import RULES, Hosts, closed, cooled, knows, tell
from redis_servers import PROGRAM, RedisServer, needs_server, until
from support import HANG_SECONDS

from litellm_antigravity.settings import Settings
from litellm_antigravity.state.redis_connect import place_of


@functools.cache
def speaks_tls() -> bool:
    """Whether the server was built with TLS: then it misses the certificate."""
    command = [PROGRAM or "", "--port", "0", "--tls-port", "1", "--tls-cert-file", "missing.pem"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=HANG_SECONDS, check=False)
    return "Failed to configure TLS" in ended.stdout + ended.stderr


pytestmark = [pytest.mark.once, needs_server]


class TlsServer(RedisServer):
    """A server that speaks nothing but TLS, and shows a certificate that it has signed itself."""

    def __init__(self, folder: Path) -> None:
        if not speaks_tls():
            pytest.skip(f"{PROGRAM} was built without TLS")
        self.certificate = folder / "certificate.pem"
        key = folder / "key.pem"
        certify(self.certificate, key)
        pem = str(self.certificate)
        super().__init__(folder, tls_cert_file=pem, tls_key_file=str(key), tls_ca_cert_file=pem, tls_auth_clients="no")

    def start(self) -> None:
        self.options |= {"port": "0", "tls_port": str(self.port)}
        super().start()

    @property
    def url(self) -> str:
        return f"rediss://127.0.0.1:{self.port}"

    def client(self, **options: Any) -> Any:
        return super().client(ssl=True, ssl_ca_certs=str(self.certificate), **options)

    def place(self, namespace: str, *, redis: str = "", **_: Any) -> Any:
        """Return where a pool is that has the setting ``redis``."""
        return place_of(Settings(redis=redis, redis_namespace=namespace))


def certify(certificate: Path, key: Path) -> None:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    signs = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "redis of a test")])
    hosts = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    today = dt.datetime.now(dt.timezone.utc)
    made = (
        x509.CertificateBuilder(name, name, signs.public_key(), x509.random_serial_number())
        .not_valid_before(today - dt.timedelta(days=1))
        .not_valid_after(today + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(hosts), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(signs, hashes.SHA256())
    )
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    form, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    key.write_bytes(signs.private_bytes(serialization.Encoding.PEM, form, plain))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TlsServer]:
    with TlsServer(tmp_path_factory.mktemp("tls")) as made:
        yield made


@pytest.fixture
def hosts(server: TlsServer, tmp_path: Path) -> Iterator[Hosts]:
    yield from closed(Hosts(server, tmp_path, tmp_path.name))


@pytest.mark.parametrize("spelling", ["a URL", "arguments"])
def test_hosts_meet_over_tls(server: TlsServer, hosts: Hosts, spelling: str) -> None:
    authority = str(server.certificate)
    arguments = {"host": "127.0.0.1", "port": server.port, "ssl": True, "ssl_ca_certs": authority}
    redis = f"{server.url}?ssl_ca_certs={authority}" if spelling == "a URL" else json.dumps(arguments)
    one, two = (hosts.new(name, redis=redis) for name in ("one", "two"))
    tell(one, two, "a1")
    tell(two, one, "a2")
    assert [one.claim_slot("p"), two.claim_slot("q")] == [0, 1]
    assert [store.status().problem for store in (one, two)] == [None, None]


def test_a_certificate_that_nobody_vouches_for_is_refused_and_the_host_goes_on_by_itself(
    server: TlsServer, hosts: Hosts, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, logger="litellm_antigravity"):
        alone = hosts.new("alone", redis=server.url)
        alone.extend_cooldown(cooled("a1"))
        until(lambda: alone.status().problem is not None)
    assert knows(alone, "a1")()
    assert alone.begin_request("a2", time.time(), RULES, require_token=True)
    assert not hosts.rows()
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == 1
    assert "certificate" in warnings[0].lower()
