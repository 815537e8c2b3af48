{{- /* Names, labels and images. */ -}}

{{- define "aigw.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- /* Of the Deployment, the Service, the PodDisruptionBudget, and by default the service account. */ -}}
{{- define "aigw.controller" -}}
{{- if .Values.controller.fullnameOverride -}}
{{- .Values.controller.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.controller.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "aigw.serviceAccount" -}}
{{- default (include "aigw.controller" .) .Values.controller.serviceAccount.name -}}
{{- end -}}

{{- /* Of the rights of the controller: a release in another namespace has its own. */ -}}
{{- define "aigw.role" -}}
{{- printf "%s:%s" (include "aigw.serviceAccount" .) .Release.Namespace -}}
{{- end -}}

{{- define "aigw.webhook" -}}
{{- printf "envoy-ai-gateway-gateway-pod-mutator.%s" .Release.Namespace -}}
{{- end -}}

{{- define "aigw.selector" -}}
app.kubernetes.io/name: {{ include "aigw.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "aigw.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "aigw.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{- define "aigw.subject" -}}
- kind: ServiceAccount
  name: {{ include "aigw.serviceAccount" . }}
  namespace: {{ .Release.Namespace }}
{{- end -}}

{{- /* Number of replicas. */ -}}
{{- define "aigw.replicas" -}}
{{- $c := .Values.controller -}}
{{- if kindIs "invalid" $c.replicaCount -}}
{{- ternary 2 1 $c.leaderElection.enabled -}}
{{- else -}}
{{- if and (gt (int $c.replicaCount) 1) (not $c.leaderElection.enabled) -}}
{{- fail (printf "controller.replicaCount is %d, and several replicas need controller.leaderElection.enabled" (int $c.replicaCount)) -}}
{{- end -}}
{{- int $c.replicaCount -}}
{{- end -}}
{{- end -}}

{{- /* Ports of the Service and of the container, as JSON: those of the values, and what the controller needs besides. */ -}}
{{- define "aigw.ports" -}}
{{- $c := .Values.controller -}}
{{- $needed := list
  (dict "name" "mutating-webhook" "port" (int $c.mutatingWebhook.port) "appProtocol" "https")
  (dict "name" "grpc" "port" 1063 "appProtocol" "grpc")
  (dict "name" "http-metrics" "port" 8080 "appProtocol" "http")
  (dict "name" "filter-config" "port" (int $c.configPort) "appProtocol" "grpc") -}}
{{- $moved := dict "mutating-webhook" (int $c.mutatingWebhook.port) "filter-config" (int $c.configPort) -}}
{{- $ports := list -}}
{{- $seen := list -}}
{{- range $c.service.ports -}}
{{- $port := dict "name" .name "protocol" (default "TCP" .protocol) "port" (int .port) "targetPort" (int (default .port .targetPort)) -}}
{{- if and (hasKey $moved .name) (eq (int .port) (get (dict "mutating-webhook" 9443 "filter-config" 18003) .name)) -}}
{{- $_ := set $port "port" (get $moved .name) -}}
{{- $_ := set $port "targetPort" (get $moved .name) -}}
{{- end -}}
{{- with .appProtocol }}{{ $_ := set $port "appProtocol" . }}{{ end -}}
{{- with .nodePort }}{{ $_ := set $port "nodePort" (int .) }}{{ end -}}
{{- $ports = append $ports $port -}}
{{- $seen = append $seen (toString $port.targetPort) -}}
{{- end -}}
{{- range $needed -}}
{{- if not (has (toString .port) $seen) -}}
{{- $ports = append $ports (merge (dict "protocol" "TCP" "targetPort" .port) .) -}}
{{- end -}}
{{- end -}}
{{- toJson $ports -}}
{{- end -}}

{{- /* Names of pull secrets of one image, else of all: call with (list own global). */ -}}
{{- define "aigw.pullSecrets" -}}
{{- $names := list -}}
{{- range (default (index . 1) (index . 0)) -}}
{{- if kindIs "string" . }}{{ $names = append $names . }}{{ else }}{{ $names = append $names .name }}{{ end -}}
{{- end -}}
{{- toJson (uniq $names) -}}
{{- end -}}

{{- define "aigw.tag" -}}
{{- $image := index . 0 -}}
{{- $version := index . 1 -}}
{{- printf "%s:%s" $image.repository (default $version $image.tag) -}}
{{- end -}}
