"""Parts of Kubernetes core types that GatewayConfig embeds: environment, resources, security, mounts (01 §1.9.3)."""

from typing import Annotated

from extension_server.api.base import Atomic, Int64, ListKey, Model, Quantity


class ConfigMapKeySelector(Model):
    atomic = True

    key: str
    name: str = ""
    optional: bool | None = None


class SecretKeySelector(ConfigMapKeySelector):
    pass


class ObjectFieldSelector(Model):
    atomic = True

    api_version: str | None = None
    field_path: str


class FileKeySelector(Model):
    atomic = True

    key: str
    optional: bool = False
    path: str
    volume_name: str


class ResourceFieldSelector(Model):
    atomic = True

    container_name: str | None = None
    divisor: Quantity | None = None
    resource: str


class EnvVarSource(Model):
    config_map_key_ref: ConfigMapKeySelector | None = None
    field_ref: ObjectFieldSelector | None = None
    file_key_ref: FileKeySelector | None = None
    resource_field_ref: ResourceFieldSelector | None = None
    secret_key_ref: SecretKeySelector | None = None


class EnvVar(Model):
    name: str
    value: str | None = None
    value_from: EnvVarSource | None = None


class ResourceClaim(Model):
    name: str
    request: str | None = None


class ResourceRequirements(Model):
    claims: Annotated[tuple[ResourceClaim, ...], ListKey("name")] = ()
    limits: dict[str, Quantity] | None = None
    requests: dict[str, Quantity] | None = None


class Profile(Model):
    """A security profile: of the runtime, of the node, or none."""

    localhost_profile: str | None = None
    type: str


class Capabilities(Model):
    add: Annotated[tuple[str, ...], Atomic()] = ()
    drop: Annotated[tuple[str, ...], Atomic()] = ()


class SELinuxOptions(Model):
    level: str | None = None
    role: str | None = None
    type: str | None = None
    user: str | None = None


class WindowsOptions(Model):
    gmsa_credential_spec: str | None = None
    gmsa_credential_spec_name: str | None = None
    host_process: bool | None = None
    run_as_user_name: str | None = None


class SecurityContext(Model):
    allow_privilege_escalation: bool | None = None
    app_armor_profile: Profile | None = None
    capabilities: Capabilities | None = None
    privileged: bool | None = None
    proc_mount: str | None = None
    read_only_root_filesystem: bool | None = None
    run_as_group: Int64 | None = None
    run_as_non_root: bool | None = None
    run_as_user: Int64 | None = None
    se_linux_options: SELinuxOptions | None = None
    seccomp_profile: Profile | None = None
    windows_options: WindowsOptions | None = None


class VolumeMount(Model):
    mount_path: str
    mount_propagation: str | None = None
    name: str
    read_only: bool | None = None
    recursive_read_only: str | None = None
    sub_path: str | None = None
    sub_path_expr: str | None = None
