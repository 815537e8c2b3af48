"""TLS on both sides: certificates of HTTPS listeners, and trust upstream (BackendTLSPolicy, `Backend.spec.tls`).

Private keys never enter xDS: they are files of mode 0600 beside it, which Envoy reads by name.
"""

import hashlib
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Final

from aigw.standalone.base_xds.world import World, refuse
from extension_server.api import core
from extension_server.api import envoy_gateway as eg
from extension_server.api import gateway as gw
from extension_server.api.base import Object
from extension_server.xds import pool
from extension_server.xds.pool import Fields
from filters.contract.secret import Secret

_UPSTREAM: Final = "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext"
_DOWNSTREAM: Final = "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext"
_SOCKET: Final = "envoy.transport_sockets.tls"


def dummy() -> Fields:
    """Envoy Gateway's placeholder beside `transport_socket_matches`."""
    return {"name": "dummy.transport_socket", "typed_config": pool.packed(_UPSTREAM, common_tls_context={})}


@dataclass(slots=True)
class Files:
    """Files that Envoy is to find; the name follows from the content, so changed content is a changed configuration."""

    directory: PurePath
    system_ca: PurePath
    """bundle of the CAs that the machine trusts"""
    content: dict[str, Secret] = field(default_factory=dict)
    """name in `directory` → text"""

    def add(self, text: Secret, suffix: str) -> str:
        """The path under which Envoy will find `text`."""
        name = f"{hashlib.sha256(text.reveal().encode()).hexdigest()[:32]}{suffix}"
        self.content[name] = text
        return str(self.directory / name)


def downstream(world: World, files: Files, listener: gw.Listener) -> Fields:
    """The transport socket of an HTTPS listener. Raises NotServable."""
    index = world.gateway.spec.listeners.index(listener)
    field_ = f"spec.listeners[{index}].tls.certificateRefs"
    references = listener.tls.certificate_refs if listener.tls else ()
    if not references:
        raise refuse(world.gateway, field_, "MissingCertificate", "an HTTPS listener needs a certificate")
    certificates = []
    for position, reference in enumerate(references):
        namespace = reference.namespace or world.gateway.namespace
        secret = world.snapshot.get(core.Secret, namespace, reference.name)
        if secret is None:
            message = f"Secret {namespace}/{reference.name} not found"
            raise refuse(world.gateway, f"{field_}[{position}]", "InvalidCertificateRef", message)
        chain, key = secret.value("tls.crt"), secret.value("tls.key")
        if chain is None or key is None:
            raise refuse(secret, "data", "InvalidCertificate", "needs the keys tls.crt and tls.key")
        certificates.append(
            {
                "certificate_chain": {"filename": files.add(chain, ".crt")},
                "private_key": {"filename": files.add(key, ".key")},
            }
        )
    context = {"alpn_protocols": ["h2", "http/1.1"], "tls_certificates": certificates}
    return {
        "name": _SOCKET,
        "typed_config": pool.packed(
            _DOWNSTREAM,
            common_tls_context=context,
            disable_stateless_session_resumption=True,
            disable_stateful_session_resumption=True,
        ),
    }


def upstream(world: World, files: Files, backend: eg.Backend) -> Fields | None:
    """The transport socket for a Backend; None: plain text. Raises NotServable."""
    policy = world.tls_policy(backend)
    if policy is not None:
        validation = policy.spec.validation
        references, owner, path = validation.ca_certificate_refs, policy, "spec.validation.caCertificateRefs"
        return socket(_trusted(world, files, owner, path, references), sni=validation.hostname)
    settings = backend.spec.tls
    if settings is None:
        return None
    first = backend.spec.endpoints[0].fqdn
    name = settings.sni or (first.hostname if first else None)
    if settings.insecure_skip_verify:
        return socket(None, sni=name)
    trusted = _trusted(world, files, backend, "spec.tls.caCertificateRefs", settings.ca_certificate_refs)
    return socket(trusted, sni=name)


def socket(trusted_ca: Fields | None, *, sni: str | None) -> Fields:
    """An upstream TLS socket that wants the certificate of `sni`; `trusted_ca` None: any certificate will do."""
    common: Fields = {
        "tls_params": {"tls_minimum_protocol_version": "TLSv1_2", "tls_maximum_protocol_version": "TLSv1_3"}
    }
    if trusted_ca is not None:
        validation: Fields = {"trusted_ca": trusted_ca}
        if sni:
            validation["match_typed_subject_alt_names"] = [{"san_type": "DNS", "matcher": {"exact": sni}}]
        common["validation_context"] = validation
    context: Fields = {"common_tls_context": common}
    if sni:
        context["sni"] = sni
    return {"name": _SOCKET, "typed_config": pool.packed(_UPSTREAM, **context)}


def _trusted(
    world: World, files: Files, owner: Object, path: str, references: tuple[gw.LocalObjectReference, ...]
) -> Fields:
    """The CAs, as a DataSource."""
    if not references:
        return {"filename": str(files.system_ca)}
    texts = []
    for index, reference in enumerate(references):
        text = _ca(world, owner.namespace, reference)
        if text is None:
            message = f"{reference.kind} {owner.namespace}/{reference.name} with the key ca.crt not found"
            raise refuse(owner, f"{path}[{index}]", "InvalidCACertificateRef", message)
        texts.append(text.strip())
    return {"inline_string": "\n".join(texts) + "\n"}


def _ca(world: World, namespace: str, reference: gw.LocalObjectReference) -> str | None:
    if reference.kind == "ConfigMap":
        found = world.snapshot.get(core.ConfigMap, namespace, reference.name)
        return found.data.get("ca.crt") if found else None
    if reference.kind == "Secret":
        secret = world.snapshot.get(core.Secret, namespace, reference.name)
        value = secret.value("ca.crt") if secret else None
        return value.reveal() if value else None
    return None
