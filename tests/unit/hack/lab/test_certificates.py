"""The lab's authority."""

import stat
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509

from hack.lab.certificates import Authority


@pytest.mark.parametrize("name", [x509.DNSName("api.lab"), x509.IPAddress(ip_address("10.96.0.1"))])
def test_a_server_is_trusted_by_each_of_its_names(tmp_path: Path, name: x509.DNSName | x509.IPAddress) -> None:
    Authority(tmp_path).sign("server", "api", names=["api.lab", "10.96.0.1"])
    authority, server = (
        x509.load_pem_x509_certificate((tmp_path / file).read_bytes()) for file in ("ca.crt", "server.crt")
    )
    server.verify_directly_issued_by(authority)
    said = server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert name in said


def test_what_is_there_stays(tmp_path: Path) -> None:
    Authority(tmp_path).sign("user", "somebody", "system:masters")
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    Authority(tmp_path).sign("user", "somebody", "system:masters")
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_nobody_else_reads_its_files(tmp_path: Path) -> None:
    folder = tmp_path / "certificates"
    Authority(folder).sign("user", "somebody")
    assert {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()} == {0o600}
