"""Which credential a backend names, apart from the value that it has at the moment.

Rules name an identity: the policy, and everything of it that selects the credential. Values are a table beside them.
So a Secret's new value is read again for the policies that use it (`Credentials.reread`), and no rule is compiled.
Whether there is a value at all is part of a rule's fate: without, it fails closed and its route's status says why.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Protocol

from extension_server.api import aigateway, core
from extension_server.api.aigateway import AnyBackendSecurityPolicy, SecurityPolicySpec
from extension_server.compile.grants import Side, granted
from extension_server.compile.reads import Key, Recorder, credential_key
from extension_server.compile.result import Finding, ObjectRef
from extension_server.compile.snapshot import Resources, kind_of, ref_of
from extension_server.credentials import policy as policies
from extension_server.credentials.policy import AwsEnvironment, CredentialProblem, CredentialReader
from filters.contract.config import Credential, bedrock_host


@dataclass(frozen=True, slots=True)
class Identity:
    """Names one credential of one policy."""

    name: str
    """key of `FilterConfig.credentials`; to be read by people, too"""
    signed_host: str = ""
    """what requests are signed for with it, where the endpoints have no host name; empty: they are not signed"""

    @property
    def signs(self) -> bool:
        """Requests are signed with it, for one host name."""
        return bool(self.signed_host)


class Unusable(Exception):
    """A backendRef or a credential cannot be used; its rule must fail closed."""

    def __init__(self, *findings: Finding) -> None:
        super().__init__("; ".join(map(str, findings)))
        self.findings = findings


class CredentialSource(Protocol):
    """What compiling asks about a policy: never the value."""

    def identity(self, policy: AnyBackendSecurityPolicy) -> Identity:
        """Raises Unusable when there is no such credential now."""


@dataclass(frozen=True, slots=True)
class _State:
    """What one policy gave."""

    policy: AnyBackendSecurityPolicy
    identity: Identity
    credential: Credential | None
    findings: tuple[Finding, ...]
    reads: frozenset[Key]

    @property
    def verdict(self) -> object:
        return self.identity, self.credential is None, self.findings


@dataclass(frozen=True, slots=True)
class Reread:
    """What came of reading again."""

    verdicts: frozenset[Key]
    """questions (`credential_key`) with another answer: what asked them is to be compiled again"""
    values: frozenset[str]
    """identities whose value changed, and nothing else"""


@dataclass(slots=True)
class Credentials:
    """The credentials of all policies that were asked about."""

    aws_environment: AwsEnvironment | None = None
    _states: dict[ObjectRef, _State] = field(default_factory=dict, repr=False)
    _values: dict[str, Credential] = field(default_factory=dict, repr=False)

    def asking(self, resources: Resources, reads: set[Key] | None = None) -> "Asking":
        """The source for compiling with `resources`. `reads` gets the questions that were asked."""
        return Asking(resources, self, set() if reads is None else reads)

    def read(self, resources: Resources, policy: AnyBackendSecurityPolicy) -> Identity:
        """Raises Unusable."""
        ref = ref_of(policy)
        state = self._states.get(ref)
        if state is None or state.policy is not policy:
            state = self._put(ref, _read(resources, policy, self.aws_environment))
        if state.credential is None:
            raise Unusable(*state.findings)
        return state.identity

    def is_new(self, policy: AnyBackendSecurityPolicy) -> bool:
        """Nobody asked for it yet."""
        return ref_of(policy) not in self._states

    def reread(self, resources: Resources, keys: Collection[Key]) -> Reread:
        """Reads those again whose answers changed; forgets those of policies that are gone."""
        wanted = set(keys)
        verdicts, values = set(), set()
        for ref, old in list(self._states.items()):
            policy = old.policy
            if ref in wanted:
                found = resources.get(AnyBackendSecurityPolicy, ref.namespace, ref.name)
                if found is None or found.spec is None:
                    self._drop(ref)
                    continue
                policy = found
            if policy is old.policy and old.reads.isdisjoint(wanted):
                continue
            new = self._put(ref, _read(resources, policy, self.aws_environment))
            if new.verdict != old.verdict:
                verdicts.add(credential_key(ref))
            elif new.credential != old.credential:
                values.add(new.identity.name)
        return Reread(frozenset(verdicts), frozenset(values))

    def values(self, identities: Iterable[str]) -> dict[str, Credential]:
        """Those that there are, by identity."""
        return {name: self._values[name] for name in sorted(set(identities)) if name in self._values}

    def secrets(self) -> set[Key]:
        """Every Secret that some policy refers to, whether it is there or not."""
        kind = kind_of(core.Secret)
        return {key for state in self._states.values() for key in state.reads if key.kind == kind}

    def asked_for(self, key: Key) -> bool:
        return any(key in state.reads for state in self._states.values())

    def _put(self, ref: ObjectRef, state: _State) -> _State:
        self._drop(ref)
        self._states[ref] = state
        if state.credential is not None:
            self._values[state.identity.name] = state.credential
        return state

    def _drop(self, ref: ObjectRef) -> None:
        old = self._states.pop(ref, None)
        if old is not None:
            self._values.pop(old.identity.name, None)


@dataclass(frozen=True, slots=True)
class Asking:
    """`CredentialSource` for one compilation."""

    resources: Resources
    credentials: Credentials
    reads: set[Key]

    def identity(self, policy: AnyBackendSecurityPolicy) -> Identity:
        self.reads.add(credential_key(ref_of(policy)))
        return self.credentials.read(self.resources, policy)


def _read(resources: Resources, policy: AnyBackendSecurityPolicy, aws_environment: AwsEnvironment | None) -> _State:
    recorder = Recorder(resources)
    reader = CredentialReader(
        secret_of=lambda namespace, name: recorder.get(core.Secret, namespace, name),
        problem_of=lambda namespace, name: recorder.problem(core.Secret, namespace, name),
        granted=lambda namespace, name: granted(
            recorder,
            Side(aigateway.GROUP, "BackendSecurityPolicy", policy.namespace),
            Side("", "Secret", namespace),
            name,
        ),
        aws_environment=aws_environment,
    )
    assert policy.spec is not None  # it has a targetRef, or was checked to have a spec
    credential: Credential | None = None
    findings: tuple[Finding, ...] = ()
    try:
        credential = reader.read(policy.spec, policy.namespace)
    except CredentialProblem as exc:
        findings = (
            Finding(severity="error", object=ref_of(policy), field=exc.field, reason=exc.reason, message=exc.message),
        )
    return _State(policy, _identity(policy, policy.spec), credential, findings, frozenset(recorder.reads))


def _identity(policy: AnyBackendSecurityPolicy, spec: SecurityPolicySpec) -> Identity:
    name = f"{policy.namespace}/{policy.name} {policies.source(spec, policy.namespace)}"
    aws = spec.aws_credentials
    return Identity(name, signed_host="" if aws is None else bedrock_host(aws.region))
