"""The certificates of webhook and push, and when they are renewed. Pure: what the Secret holds and the time → what it
should hold.

    authority (10 years) ─signs─► leaf (90 days, renewed after 60)

A new authority is trusted for a day before anything is signed by it: API server and sidecars must know it first. The
old one stays trusted until it ends. A leaf of an authority whose key is not here (cert-manager's, when it is not to
keep the Secret any more) is served for that day, too.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from extension_server.webhook import signing

AUTHORITY_LIFE: Final = timedelta(days=3650)
AUTHORITY_RENEWAL: Final = timedelta(days=365)
"""before its end"""
LEAF_LIFE: Final = timedelta(days=90)
LEAF_RENEWAL: Final = timedelta(days=30)
"""before its end"""
OVERLAP: Final = timedelta(days=1)
_CLOCKS: Final = timedelta(minutes=5)
"""by which clocks may differ"""
_LONGEST_COMMON_NAME: Final = 64
"""X.520"""

AUTHORITY_KEY: Final = "ca.key"
NEXT_AUTHORITY: Final = "next-ca.crt"
NEXT_AUTHORITY_KEY: Final = "next-ca.key"


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """Keys of the Secret."""

    authority: str = "ca.crt"
    certificate: str = "tls.crt"
    key: str = "tls.key"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """What servers use. All PEM."""

    authorities: bytes
    """that clients are to trust"""
    certificate: bytes
    """chain"""
    key: bytes

    def expires(self) -> datetime:
        return x509.load_pem_x509_certificate(self.certificate).not_valid_after_utc

    def __repr__(self) -> str:
        return f"Bundle(expires={self.expires():%Y-%m-%d})"


class Unusable(ValueError):
    """The Secret holds no usable certificate; the text says why."""


def service_names(service: str, namespace: str) -> tuple[str, ...]:
    """DNS names by which the cluster knows a Service."""
    return (
        f"{service}.{namespace}.svc",
        f"{service}.{namespace}.svc.cluster.local",
        f"{service}.{namespace}",
        service,
    )


def read(data: Mapping[str, bytes], names: Names) -> Bundle:
    """Raises Unusable."""
    missing = [key for key in (names.authority, names.certificate, names.key) if not data.get(key)]
    if missing:
        raise Unusable(f"has no {', '.join(missing)}")
    found = Bundle(authorities=data[names.authority], certificate=data[names.certificate], key=data[names.key])
    try:
        certificate = x509.load_pem_x509_certificate(found.certificate)
        key = serialization.load_pem_private_key(found.key, None)
        x509.load_pem_x509_certificates(found.authorities)
    except (ValueError, TypeError) as exc:
        raise Unusable(f"cannot be read: {exc}") from exc
    if key.public_key() != certificate.public_key():
        raise Unusable(f"{names.key} does not belong to {names.certificate}")
    return found


def renewed(data: Mapping[str, bytes], names: Names, hosts: Sequence[str], now: datetime) -> dict[str, bytes] | None:
    """What the Secret should hold now; None when that is what it holds. `hosts`: names in the leaf, the first is its
    common name."""
    wanted = dict(data)
    is_own = _authority_holds(wanted, names, now)
    if not is_own:
        wanted = _of_others(data, names)
        if not _serves(wanted, names, hosts, now):
            wanted, is_own = {names.authority: b""}, True
            _put_authority(wanted, names.authority, AUTHORITY_KEY, now)
    _renew_authority(wanted, names, now, is_own=is_own)
    if AUTHORITY_KEY in wanted and not _leaf_holds(wanted, names, hosts, now):
        wanted |= _leaf(wanted, names, hosts, now)
    return None if wanted == data else wanted


def _renew_authority(data: dict[str, bytes], names: Names, now: datetime, *, is_own: bool) -> None:
    """`is_own`: its key is here. Another's is replaced in any case."""
    first = x509.load_pem_x509_certificates(data[names.authority])[0]
    if NEXT_AUTHORITY not in data:
        if not is_own or first.not_valid_after_utc - now < AUTHORITY_RENEWAL:
            _put_authority(data, NEXT_AUTHORITY, NEXT_AUTHORITY_KEY, now)
            data[names.authority] = _joined(data[names.authority], data[NEXT_AUTHORITY])
        return
    following = x509.load_pem_x509_certificate(data[NEXT_AUTHORITY])
    if now - following.not_valid_before_utc >= OVERLAP + _CLOCKS:
        trusted = [each for each in x509.load_pem_x509_certificates(data[names.authority]) if each != following]
        alive = [signing.pem(each) for each in trusted if each.not_valid_after_utc > now]
        data[names.authority] = _joined(data.pop(NEXT_AUTHORITY), *alive)
        data[AUTHORITY_KEY] = data.pop(NEXT_AUTHORITY_KEY)
        data.pop(names.certificate, None)


def _of_others(data: Mapping[str, bytes], names: Names) -> dict[str, bytes]:
    """What somebody else has put there, and the authority of ours that is to follow, if it is trusted already."""
    found = {key: data[key] for key in (names.authority, names.certificate, names.key) if key in data}
    try:
        following = x509.load_pem_x509_certificate(data[NEXT_AUTHORITY])
        key = serialization.load_pem_private_key(data[NEXT_AUTHORITY_KEY], None)
        trusted = x509.load_pem_x509_certificates(data[names.authority])
    except (KeyError, ValueError, TypeError):
        return found
    if following in trusted and key.public_key() == following.public_key():
        found |= {key: data[key] for key in (NEXT_AUTHORITY, NEXT_AUTHORITY_KEY)}
    return found


def _serves(data: Mapping[str, bytes], names: Names, hosts: Sequence[str], now: datetime) -> bool:
    """A leaf of another's authority will do until one of ours can follow."""
    try:
        found = read(data, names)
        leaf = x509.load_pem_x509_certificate(found.certificate)
        trusted = any(_is_issued(leaf, each) for each in x509.load_pem_x509_certificates(found.authorities))
        following = x509.load_pem_x509_certificate(data[NEXT_AUTHORITY]) if NEXT_AUTHORITY in data else None
        begun = now if following is None else following.not_valid_before_utc + _CLOCKS
    except ValueError:
        return False
    return trusted and _is_for(leaf, hosts) and leaf.not_valid_after_utc - begun > OVERLAP + _CLOCKS


def _authority_holds(data: Mapping[str, bytes], names: Names, now: datetime) -> bool:
    try:
        authority = x509.load_pem_x509_certificates(data[names.authority])[0]
        key = serialization.load_pem_private_key(data[AUTHORITY_KEY], None)
        if NEXT_AUTHORITY in data:
            x509.load_pem_x509_certificate(data[NEXT_AUTHORITY])
            serialization.load_pem_private_key(data[NEXT_AUTHORITY_KEY], None)
    except (KeyError, ValueError, TypeError, IndexError):
        return False
    return key.public_key() == authority.public_key() and authority.not_valid_after_utc > now + _CLOCKS


def _leaf_holds(data: Mapping[str, bytes], names: Names, hosts: Sequence[str], now: datetime) -> bool:
    try:
        found = read(data, names)
        leaf = x509.load_pem_x509_certificate(found.certificate)
        authority = x509.load_pem_x509_certificates(found.authorities)[0]
    except ValueError:
        return False
    return _is_issued(leaf, authority) and _is_for(leaf, hosts) and leaf.not_valid_after_utc - now > LEAF_RENEWAL


def _is_issued(leaf: x509.Certificate, authority: x509.Certificate) -> bool:
    try:
        leaf.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _is_for(leaf: x509.Certificate, hosts: Sequence[str]) -> bool:
    try:
        said = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, x509.ExtensionNotFound):
        return False
    return set(said.get_values_for_type(x509.DNSName)) >= set(hosts)


def _put_authority(data: dict[str, bytes], certificate: str, key: str, now: datetime) -> None:
    made = signing.new_key()
    # A name of its own: two authorities of one name are hard to tell apart for those who build chains.
    name = f"aigw {now:%Y-%m-%d %H:%M}"
    data[certificate] = signing.pem(signing.authority(name, made, now - _CLOCKS, now + AUTHORITY_LIFE))
    data[key] = signing.private_pem(made)


def _leaf(data: Mapping[str, bytes], names: Names, hosts: Sequence[str], now: datetime) -> dict[str, bytes]:
    authority = x509.load_pem_x509_certificates(data[names.authority])[0]
    signer = serialization.load_pem_private_key(data[AUTHORITY_KEY], None)
    assert isinstance(signer, ec.EllipticCurvePrivateKey)  # of `_put_authority`
    key = signing.new_key()
    until = min(now + LEAF_LIFE, authority.not_valid_after_utc)
    subject = signing.named(hosts[0][:_LONGEST_COMMON_NAME])
    signed = (
        signing.begun(subject, authority.subject, key.public_key(), now - _CLOCKS, until)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host) for host in hosts]), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
        .sign(signer, hashes.SHA256())
    )
    return {names.certificate: signing.pem(signed), names.key: signing.private_pem(key)}


def _joined(*texts: bytes) -> bytes:
    return b"".join(text.rstrip(b"\n") + b"\n" for text in texts)
