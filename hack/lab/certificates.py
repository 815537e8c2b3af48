"""The cluster's certificate authority, what it signs, and kubeconfigs with that. For a lab: valid ten years."""

import base64
import ipaddress
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from extension_server.webhook import signing

_LIFE: Final = timedelta(days=3650)


class Authority:
    """Files `<name>.crt` and `<name>.key` in one folder, made once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not (folder / "ca.crt").exists():
            self._make()
        self._key = serialization.load_pem_private_key((folder / "ca.key").read_bytes(), None)
        self._certificate = x509.load_pem_x509_certificate((folder / "ca.crt").read_bytes())

    def _make(self) -> None:
        key = signing.new_key()
        accounts = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self._write("sa.key", signing.private_pem(accounts))
        public = (serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        self._write("sa.pub", accounts.public_key().public_bytes(*public))
        self._write("ca.key", signing.private_pem(key))
        self._write("ca.crt", signing.pem(signing.authority("lab", key, *_life())))

    def sign(self, file: str, common_name: str, organization: str = "", names: Sequence[str] = ()) -> None:
        """For servers and clients alike. `names`: DNS names and addresses."""
        if (self._folder / f"{file}.crt").exists():
            return
        key = signing.new_key()
        attributes = [x509.NameAttribute(NameOID.COMMON_NAME, common_name)]
        if organization:
            attributes.insert(0, x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization))
        usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        subject = x509.Name(attributes)
        builder = signing.begun(subject, self._certificate.subject, key.public_key(), *_life()).add_extension(
            x509.ExtendedKeyUsage(usages), critical=False
        )
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName([_name(each) for each in names]), False)
        assert isinstance(self._key, ec.EllipticCurvePrivateKey)
        self._write(f"{file}.key", signing.private_pem(key))
        self._write(f"{file}.crt", signing.pem(builder.sign(self._key, hashes.SHA256())))

    def kubeconfig(self, file: str, server: str, target: Path) -> None:
        """For the user that certificate `file` names."""

        def data(name: str) -> str:
            return base64.b64encode((self._folder / name).read_bytes()).decode()

        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "lab",
            "clusters": [{"name": "lab", "cluster": {"server": server, "certificate-authority-data": data("ca.crt")}}],
            "users": [
                {
                    "name": file,
                    "user": {
                        "client-certificate-data": data(f"{file}.crt"),
                        "client-key-data": data(f"{file}.key"),
                    },
                }
            ],
            "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": file}}],
        }
        _private(target, yaml.safe_dump(document).encode())

    def _write(self, name: str, content: bytes) -> None:
        _private(self._folder / name, content)


def _private(file: Path, content: bytes) -> None:
    file.touch(mode=0o600)
    file.write_bytes(content)


def _life() -> tuple[datetime, datetime]:
    now = datetime.now(UTC)
    return now - timedelta(hours=1), now + _LIFE


def _name(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)
