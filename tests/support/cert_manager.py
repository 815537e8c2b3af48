"""cert-manager without cert-manager: its published definitions, and what it leaves in a Secret."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import ExtendedKeyUsageOID

from extension_server.webhook import signing
from extension_server.webhook.certificates import AUTHORITY_LIFE
from tests.support import go_modules

MODULE: Final = (
    "github.com/cert-manager/cert-manager@v1.21.2",
    "h1:UWgoYM+KLNtRlqmoWOKjKBOBUPVHeepQ6/ac3ERJW68=",
)


def write_definitions(target: Path) -> Path:
    """Returns `target`. Raises go_modules.NotThere."""
    files = sorted((go_modules.folder(*MODULE) / "deploy" / "crds").glob("*.yaml"))
    target.write_text("\n---\n".join(file.read_text() for file in files))
    return target


def issued(hosts: Sequence[str], now: datetime, life: timedelta) -> dict[str, bytes]:
    """Data of a Secret: the leaf has no common name, and the authority's key is somewhere else."""
    signer, key = signing.new_key(), signing.new_key()
    authority = signing.authority("theirs", signer, now, now + AUTHORITY_LIFE)
    signed = (
        signing.begun(x509.Name([]), authority.subject, key.public_key(), now, now + life)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host) for host in hosts]), critical=True)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
        .sign(signer, hashes.SHA256())
    )
    return {
        "ca.crt": signing.pem(authority),
        "tls.crt": signing.pem(signed),
        "tls.key": signing.private_pem(key),
    }
