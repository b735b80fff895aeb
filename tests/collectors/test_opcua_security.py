"""Who may read from an OPC UA server: users, certificates, and that nothing secret is shown or sent in the open."""

from __future__ import annotations

import datetime as dt
import ipaddress
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from collectors.collector import CollectError, Origin
from collectors.frame import Quality
from collectors.opcua import OpcUaCollector, OpcUaOptions
from tests.collectors.monitoring import last, updates_of
from tests.collectors.opcua_server import UaServer

PASSWORD = "correct horse"


def make_certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """A certificate (DER) and its key (PEM) for this host."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    names = [x509.UniformResourceIdentifier(f"urn:example:{name}"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    usage = x509.KeyUsage(
        digital_signature=True,
        content_commitment=True,
        key_encipherment=True,
        data_encipherment=True,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(usage, critical=False)
        .sign(key, hashes.SHA256())
    )
    certificate_file, key_file = folder / f"{name}.der", folder / f"{name}.pem"
    certificate_file.write_bytes(certificate.public_bytes(serialization.Encoding.DER))
    key_file.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    return certificate_file, key_file


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certificates")
    for name in ("server", "client", "stranger"):
        make_certificate(folder, name)
    (folder / "password").write_text(f"{PASSWORD}\n")
    (folder / "wrong").write_text("wrong horse")
    return folder


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[UaServer]:
    """A server that takes encrypted connections of one user only."""
    running = UaServer(folder, certificate=str(folder / "server.der"), key=str(folder / "server.pem"), user=["monitor", PASSWORD])
    yield running.start()
    running.kill()


def options(server: UaServer, folder: Path, **changed: Any) -> OpcUaOptions:
    secure = {
        "url": server.url,
        "nodes": {"VMon": "ns=2;s=VMon"},
        "security_policy": "Basic256Sha256",
        "certificate_file": folder / "client.der",
        "key_file": folder / "client.pem",
        "server_certificate_file": folder / "server.der",
        "username": "monitor",
        "password_file": folder / "password",
        "request_timeout_s": 2,
    }
    return OpcUaOptions.model_validate({**secure, **changed})


def first_turn(given: OpcUaOptions) -> Any:
    collector = OpcUaCollector(Origin("hv", "", time.time_ns), given)
    try:
        return updates_of(collector.collect())
    finally:
        collector.close()


@pytest.mark.parametrize("changed", [{}, {"server_certificate_file": None}])
def test_an_encrypted_connection_of_a_user_reads(server: UaServer, folder: Path, changed: dict[str, Any]) -> None:
    assert last(first_turn(options(server, folder, **changed)), "VMon") == (1400, Quality.GOOD)


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"password_file": "wrong"}, "BadUserAccessDenied|BadIdentityTokenRejected|BadIdentityTokenInvalid"),
        ({"password_file": "gone"}, "gone: No such file or directory"),
        ({"server_certificate_file": "stranger.der"}, "the connection was lost|Bad|no answer|mismatch"),
        ({"certificate_file": "password"}, "password: no certificate"),
        ({"security_policy": "", "certificate_file": None, "key_file": None, "server_certificate_file": None}, "Bad|No matching"),
    ],
)
def test_who_is_not_trusted_is_told_so_and_nothing_secret_with_it(
    server: UaServer, folder: Path, changed: dict[str, Any], problem: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    files = {key: folder / value if isinstance(value, str) and key.endswith("_file") else value for key, value in changed.items()}
    with pytest.raises(CollectError, match=f"{server.url}: .*({problem})") as error:
        first_turn(options(server, folder, **files))
    assert "horse" not in str(error.value) + caplog.text


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"url": "http://plc"}, "opc.tcp://HOST"),
        ({"url": "opc.tcp://me:secret@plc"}, "not into the address"),
        ({"nodes": {}}, "name the variables"),
        ({"nodes": {"V": "VMon"}}, "'VMon' is no node id"),
        ({"nodes": {"V{0..2}": "ns=2;s=V{0..1}"}}, "3 channels for 2 nodes"),
        ({"folders": ["HV"]}, "'HV' is no node id"),
        ({"security_policy": "Basic256Sha256"}, "belong together"),
        ({"certificate_file": "a.der"}, "belong together"),
        ({"server_certificate_file": "a.der"}, "needs a `security_policy`"),
        ({"password_file": "a"}, "needs a `username`"),
        ({"url": "opc.tcp://plc", "username": "me", "password_file": "a"}, "without encryption"),
    ],
)
def test_options_that_cannot_work_or_would_show_a_password_are_refused(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        OpcUaOptions.model_validate({"url": "opc.tcp://127.0.0.1", "nodes": {"V": "i=2258"}, **changed})


def test_the_usual_port_need_not_be_named() -> None:
    assert OpcUaOptions(url="opc.tcp://plc/path", folders=("i=85",)).url == "opc.tcp://plc:4840/path"
