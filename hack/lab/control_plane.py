"""etcd, API server, controller manager and scheduler, as processes of the machine."""

import shutil
import time
from typing import Final

from hack.lab import shell
from hack.lab.certificates import Authority
from hack.lab.machine import ADDRESS, Machine
from hack.tools import build

TOOLS: Final = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl")
PODS: Final = "10.88.0.0/16"
SERVICES: Final = "10.96.0.0/16"
PORT: Final = 6443
SERVER: Final = f"https://127.0.0.1:{PORT}"
_READY_LIMIT: Final = 120.0
_USERS: Final = (
    ("admin", "admin", "system:masters"),
    ("controller-manager", "system:kube-controller-manager", ""),
    ("scheduler", "system:kube-scheduler", ""),
    ("proxy", "system:kube-proxy", ""),
    ("kubelet", "system:node:lab", "system:nodes"),
)
_NAMES: Final = (
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
    "localhost",
    "127.0.0.1",
    "10.96.0.1",
    ADDRESS,
)


def prepare(machine: Machine) -> None:
    """Certificates and kubeconfigs."""
    folder = machine.state.certificates
    authority = Authority(folder)
    authority.sign("apiserver", "kube-apiserver", names=_NAMES)
    authority.sign("apiserver-kubelet", "apiserver-kubelet", "system:masters")
    for file, user, group in _USERS:
        names = ("lab", "127.0.0.1", ADDRESS) if file == "kubelet" else ()
        authority.sign(file, user, group, names)
        authority.kubeconfig(file, SERVER, folder / f"{file}.kubeconfig")


def up(machine: Machine) -> None:
    """Returns when the API server is ready. It starts empty. Raises shell.Failed."""
    state, files = machine.state, machine.state.certificates
    shutil.rmtree(state.root / "etcd", ignore_errors=True)
    machine.start(
        "etcd",
        [
            str(build.place("etcd")),
            f"--data-dir={state.root / 'etcd'}",
            "--listen-client-urls=http://127.0.0.1:2379",
            "--advertise-client-urls=http://127.0.0.1:2379",
            "--listen-peer-urls=http://127.0.0.1:2380",
            "--unsafe-no-fsync",
            "--log-level=warn",
        ],
    )
    machine.start(
        "kube-apiserver",
        [
            str(build.place("kube-apiserver")),
            "--etcd-servers=http://127.0.0.1:2379",
            f"--secure-port={PORT}",
            "--bind-address=0.0.0.0",
            f"--advertise-address={ADDRESS}",
            f"--tls-cert-file={files / 'apiserver.crt'}",
            f"--tls-private-key-file={files / 'apiserver.key'}",
            f"--client-ca-file={files / 'ca.crt'}",
            f"--service-account-key-file={files / 'sa.pub'}",
            f"--service-account-signing-key-file={files / 'sa.key'}",
            "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
            f"--service-cluster-ip-range={SERVICES}",
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            "--allow-privileged=true",
            f"--kubelet-client-certificate={files / 'apiserver-kubelet.crt'}",
            f"--kubelet-client-key={files / 'apiserver-kubelet.key'}",
            "--kubelet-preferred-address-types=InternalIP",
            "--profiling=false",
        ],
    )
    deadline = time.monotonic() + _READY_LIMIT
    while not shell.succeeds(machine, ["get", "--raw", "/readyz"]):
        if "kube-apiserver" not in machine.running() or time.monotonic() > deadline:
            raise shell.Failed("the API server does not become ready", state.logs / "kube-apiserver.log")
        time.sleep(0.2)
    machine.start(
        "kube-controller-manager",
        [
            str(build.place("kube-controller-manager")),
            f"--kubeconfig={files / 'controller-manager.kubeconfig'}",
            f"--service-account-private-key-file={files / 'sa.key'}",
            f"--root-ca-file={files / 'ca.crt'}",
            "--use-service-account-credentials",
            "--leader-elect=false",
            f"--cluster-cidr={PODS}",
            "--bind-address=127.0.0.1",
            f"--cluster-signing-cert-file={files / 'ca.crt'}",
            f"--cluster-signing-key-file={files / 'ca.key'}",
        ],
    )
    machine.start(
        "kube-scheduler",
        [
            str(build.place("kube-scheduler")),
            f"--kubeconfig={files / 'scheduler.kubeconfig'}",
            "--leader-elect=false",
            "--bind-address=127.0.0.1",
        ],
    )
