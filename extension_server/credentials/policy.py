"""BackendSecurityPolicy → the credential that the data plane sends, for the types that need no exchange.

Pure: Secrets are looked up through a function, nothing is fetched. Called by compile. Types that need a token exchange
(Azure client secrets, GCP, AWS OIDC) are refused here with a sentence, never sent without a credential.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from extension_server.api import core, gateway
from extension_server.api.aigateway import (
    CREDENTIAL_FIELDS,
    GROUP,
    APIKeySource,
    AWSCredentials,
    BackendSecurityPolicySpec,
    SecurityPolicySpec,
)
from extension_server.credentials import aws_file
from filters.contract.config import AwsCredential, Credential, HeaderCredential
from filters.contract.secret import Secret

API_KEY: Final = "apiKey"
AWS_CREDENTIALS: Final = "credentials"

SecretOf = Callable[[str, str], core.Secret | None]
"""(namespace, name) → Secret"""
ProblemOf = Callable[[str, str], str | None]
"""(namespace, name) → why a Secret that is there cannot be used at all"""
Granted = Callable[[str, str], bool]
"""(namespace, name): may this policy read the Secret in another namespace?"""


@dataclass(frozen=True, slots=True, kw_only=True)
class AwsEnvironment:
    """Static AWS keys of the process environment, where the process has one that counts (standalone mode)."""

    access_key_id: str
    secret_access_key: Secret
    session_token: Secret | None = None


class CredentialProblem(Exception):
    """The policy gives no credential now; `field` is the path in the policy, `message` says what to do."""

    def __init__(self, field: str, reason: str, message: str) -> None:
        super().__init__(message)
        self.field = field
        self.reason = reason
        self.message = message


_KEY_HEADERS: Final = {
    "APIKey": ("authorization", "Bearer "),
    "AzureAPIKey": ("api-key", ""),
    "AnthropicAPIKey": ("x-api-key", ""),
}
"""type → header and what stands before the key in it"""
_INSTEAD: Final = {
    "AzureCredentials": "use type AzureAPIKey with a key of the Azure resource",
    "GCPCredentials": "no other type serves Google Cloud, so take its backends out of the routes",
}


def source(spec: SecurityPolicySpec, namespace: str) -> str:
    """Everything of a policy that selects its credential and the form in which it is sent, without any value."""
    if spec.aws_credentials is not None:
        aws = spec.aws_credentials
        file = aws.credentials_file
        where = f"{_reference(file.secret_ref, namespace)} profile {file.profile}" if file else "environment"
        return f"{spec.type} region {aws.region} {where}"
    key = spec.api_key or spec.azure_api_key or spec.anthropic_api_key
    return f"{spec.type} {_reference(key.secret_ref, namespace)}" if key else str(spec.type)


def _reference(reference: gateway.SecretObjectReference, namespace: str) -> str:
    return f"Secret {reference.namespace or namespace}/{reference.name}"


def not_served(spec: SecurityPolicySpec, aws_environment: AwsEnvironment | None = None) -> CredentialProblem | None:
    """What a policy asks for that this release does not do, whatever Secrets there are; None: it does all of it."""
    field = f"spec.{CREDENTIAL_FIELDS[spec.type]}"
    if isinstance(spec, BackendSecurityPolicySpec) and spec.credential_override is not None:
        field = "spec.credentialOverride"
        message = "credentials taken from the request are not supported yet; remove credentialOverride"
    elif spec.aws_credentials is None:
        if spec.type in _KEY_HEADERS:
            return None
        message = f"type {spec.type} needs a token exchange, which is not supported yet; {_INSTEAD[spec.type]}"
    elif spec.aws_credentials.credentials_file is not None:
        return None
    elif spec.aws_credentials.oidc_exchange_token is not None:
        field = f"{field}.oidcExchangeToken"
        message = "AWS OIDC exchange is not supported yet; use credentialsFile"
    elif aws_environment is None:
        message = (
            "the default AWS credential chain is not supported yet; set credentialsFile, or AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY in the environment of `aigw run`"
        )
    else:
        return None
    return CredentialProblem(field, "NotSupported", message)


@dataclass(frozen=True, slots=True, kw_only=True)
class CredentialReader:
    """Reads the credential of one policy at a time. `namespace` is the policy's."""

    secret_of: SecretOf
    granted: Granted
    problem_of: ProblemOf = lambda namespace, name: None
    aws_environment: AwsEnvironment | None = None

    def read(self, spec: SecurityPolicySpec, namespace: str) -> Credential:
        """Raises CredentialProblem."""
        problem = not_served(spec, self.aws_environment)
        if problem is not None:
            raise problem
        field = f"spec.{CREDENTIAL_FIELDS[spec.type]}"
        if spec.aws_credentials is not None:
            return self._aws(spec.aws_credentials, namespace, field)
        source = spec.api_key or spec.azure_api_key or spec.anthropic_api_key
        assert source is not None  # rules B1, B3, B6
        return self._header(spec.type, source, namespace, field)

    def _header(self, type_: str, source: APIKeySource, namespace: str, field: str) -> HeaderCredential:
        key = self._secret(source.secret_ref, API_KEY, namespace, f"{field}.secretRef").reveal().strip()
        where = _reference(source.secret_ref, namespace)
        if not key:
            raise CredentialProblem(
                f"{field}.secretRef",
                "InvalidSecret",
                f"key {API_KEY} of {where} is empty; put the API key there",
            )
        if not all(" " <= character <= "~" for character in key):
            raise CredentialProblem(
                f"{field}.secretRef",
                "InvalidSecret",
                f"key {API_KEY} of {where} holds line breaks or characters that cannot be sent in a header; store "
                "the bare API key",
            )
        header, before = _KEY_HEADERS[type_]
        return HeaderCredential(name=header, value=Secret(before + key))

    def _aws(self, aws: AWSCredentials, namespace: str, field: str) -> AwsCredential:
        if aws.credentials_file is not None:
            reference = aws.credentials_file.secret_ref
            path = f"{field}.credentialsFile.secretRef"
            text = self._secret(reference, AWS_CREDENTIALS, namespace, path)
            try:
                return aws_file.read(text, profile=aws.credentials_file.profile, region=aws.region)
            except aws_file.BadCredentialsFile as exc:
                message = f"key {AWS_CREDENTIALS} of {_reference(reference, namespace)} {exc}"
                raise CredentialProblem(path, "InvalidSecret", message) from exc
        assert self.aws_environment is not None  # else it is not served
        return AwsCredential(
            region=aws.region,
            access_key_id=self.aws_environment.access_key_id,
            secret_access_key=self.aws_environment.secret_access_key,
            session_token=self.aws_environment.session_token,
        )

    def _secret(self, reference: gateway.SecretObjectReference, key: str, namespace: str, field: str) -> Secret:
        where = reference.namespace or namespace
        if (reference.group, reference.kind) != ("", "Secret"):
            raise CredentialProblem(field, "InvalidKind", f"must refer to a Secret, not {reference.kind}")
        if where != namespace and not self.granted(where, reference.name):
            raise CredentialProblem(
                field,
                "RefNotPermitted",
                f"Secret {where}/{reference.name} is in another namespace. Create a ReferenceGrant there with from: "
                f"[{{group: {GROUP}, kind: BackendSecurityPolicy, namespace: {namespace}}}], "
                'to: [{group: "", kind: Secret}]',
            )
        secret = self.secret_of(where, reference.name)
        if secret is None and (problem := self.problem_of(where, reference.name)) is not None:
            raise CredentialProblem(
                field, "InvalidSecret", f"Secret {where}/{reference.name} cannot be used: {problem}"
            )
        if secret is None:
            raise CredentialProblem(
                field, "SecretNotFound", f"Secret {where}/{reference.name} not found; create it with the key {key}"
            )
        value = secret.value(key)
        if value is None:
            raise CredentialProblem(
                field, "InvalidSecret", f"Secret {where}/{reference.name} does not contain key {key}; add it"
            )
        return value
