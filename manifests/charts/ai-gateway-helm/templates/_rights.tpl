{{- /* What the controller may do: rules of roles, in groups by where they are needed. Nothing has a star. */ -}}

{{- /* In every watched namespace. */ -}}
{{- define "aigw.rights.watched" -}}
# Our kinds: read them, write their status. `patch` of the object itself is for one thing: taking off the finalizer that
# earlier controllers set. This one sets none.
- apiGroups: [aigateway.envoyproxy.io]
  resources: [aigatewayroutes, aiservicebackends, backendsecuritypolicies, gatewayconfigs, mcproutes, quotapolicies]
  verbs: [get, list, watch, patch]
- apiGroups: [aigateway.envoyproxy.io]
  resources:
    - aigatewayroutes/status
    - aiservicebackends/status
    - backendsecuritypolicies/status
    - gatewayconfigs/status
    - mcproutes/status
    - quotapolicies/status
  verbs: [patch]
# No finalizer is written with this. Generated objects name their route as an owner whose deletion waits for them
# (blockOwnerDeletion), and admission plugin OwnerReferencesPermissionEnforcement lets only those do that who have it.
- apiGroups: [aigateway.envoyproxy.io]
  resources: [aigatewayroutes/finalizers]
  verbs: [update]
# What is generated of routes.
- apiGroups: [gateway.networking.k8s.io]
  resources: [httproutes]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [gateway.envoyproxy.io]
  resources: [httproutefilters]
  verbs: [get, list, watch, create, patch, delete]
# What routes refer to.
- apiGroups: [gateway.networking.k8s.io]
  resources: [gateways]
  verbs: [get, list, watch, patch]
- apiGroups: [gateway.networking.k8s.io]
  resources: [referencegrants, backendtlspolicies]
  verbs: [get, list, watch]
- apiGroups: [gateway.envoyproxy.io]
  resources: [backends, backendtrafficpolicies, envoyextensionpolicies, securitypolicies]
  verbs: [get, list, watch]
- apiGroups: [inference.networking.k8s.io]
  resources: [inferencepools]
  verbs: [get, list, watch]
- apiGroups: [""]
  resources: [secrets, configmaps]
  verbs: [get, list, watch]
- apiGroups: [""]
  resources: [events]
  verbs: [create, patch]
{{- end -}}

{{- /* Where Envoys run: Envoy Gateway's namespace, or that of their Gateways. */ -}}
{{- define "aigw.rights.proxies" -}}
# Who asks for a configuration, and the certificate authority in annotations of running pods.
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch, patch]
# Rollout of Envoys that have no filter yet.
- apiGroups: [apps]
  resources: [deployments, daemonsets]
  verbs: [get, list, watch, patch]
{{- end -}}

{{- /* Of kinds that are in no namespace. */ -}}
{{- define "aigw.rights.cluster" -}}
- apiGroups: [gateway.networking.k8s.io]
  resources: [gatewayclasses]
  verbs: [get, list, watch]
# Labels, for listeners that take routes of namespaces by selector.
- apiGroups: [""]
  resources: [namespaces]
  verbs: [get, list, watch]
# Is this a token of the pod that it says.
- apiGroups: [authentication.k8s.io]
  resources: [tokenreviews]
  verbs: [create]
# The authority of our own webhook.
- apiGroups: [admissionregistration.k8s.io]
  resources: [mutatingwebhookconfigurations]
  verbs: [get, list, watch]
- apiGroups: [admissionregistration.k8s.io]
  resources: [mutatingwebhookconfigurations]
  resourceNames: [{{ include "aigw.webhook" . | quote }}]
  verbs: [patch, update]
{{- end -}}

{{- /* In the namespace of the controller. */ -}}
{{- define "aigw.rights.own" -}}
# The Lease of the leader, and that of the gateway's key.
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [get, create, update]
# The key that tokens are made with, and the certificates.
- apiGroups: [""]
  resources: [secrets]
  verbs: [get, list, watch, create, update, patch]
# Whether cert-manager still keeps the Secret with the certificates: its Certificate is there. Nothing is asked where no
# Secret was ever cert-manager's.
- apiGroups: [cert-manager.io]
  resources: [certificates]
  verbs: [get]
- apiGroups: [""]
  resources: [events]
  verbs: [create, patch]
{{- end -}}

{{- /* A Role and its RoleBinding: call with a dict of root, namespace, name, rules. */ -}}
{{- define "aigw.role.in" }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  name: {{ .name | quote }}
  namespace: {{ .namespace }}
  labels:
    {{- include "aigw.labels" .root | nindent 4 }}
rules:
{{ .rules | trim }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  name: {{ .name | quote }}
  namespace: {{ .namespace }}
  labels:
    {{- include "aigw.labels" .root | nindent 4 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: Role
  name: {{ .name | quote }}
subjects:
{{ include "aigw.subject" .root }}
{{- end -}}
