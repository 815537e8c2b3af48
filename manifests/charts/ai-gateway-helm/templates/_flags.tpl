{{- /* Flags of the controller, as JSON. Nothing secret is among them: everybody who may read pods can read these. */ -}}
{{- define "aigw.flags" -}}
{{- $c := .Values.controller -}}
{{- $hook := $c.mutatingWebhook -}}
{{- $filter := .Values.extProc -}}
{{- $ends := .Values.endpointConfig -}}
{{- $pulls := include "aigw.pullSecrets" (list $filter.imagePullSecrets .Values.global.imagePullSecrets) | fromJsonArray -}}
{{- $flags := list
  "--port=:1063"
  (printf "--serviceName=%s" (include "aigw.controller" .))
  (printf "--webhookPort=%d" (int $hook.port))
  (printf "--configPort=%d" (int $c.configPort))
  "--metricsPort=8080"
  (printf "--envoyGatewayNamespace=%s" .Values.envoyGateway.namespace)
  (printf "--gatewayControllerName=%s" $c.gatewayControllerName)
  (printf "--watchNamespaces=%s" (join "," (uniq $c.watch.namespaces)))
  (printf "--cacheSyncTimeout=%s" $c.watch.cacheSyncTimeout)
  (printf "--shutdownDelay=%s" $c.shutdownDelay)
  (printf "--enableLeaderElection=%t" $c.leaderElection.enabled)
  (printf "--logLevel=%s" $c.logLevel)
  (printf "--logFormat=%s" $c.logFormat)
  (printf "--rootPrefix=%s" $ends.rootPrefix)
  (printf "--endpointPrefixes=openai:%s,cohere:%s,anthropic:%s" (default "" $ends.openai) (default "" $ends.cohere) (default "" $ends.anthropic))
  (printf "--extProcImage=%s" (include "aigw.tag" (list $filter.image .Chart.AppVersion)))
  (printf "--extProcImagePullPolicy=%s" $filter.imagePullPolicy)
  (printf "--extProcLogLevel=%s" $filter.logLevel)
  (printf "--extProcLogFormat=%s" $filter.logFormat)
  (printf "--tlsCertSecretName=%s" $hook.tlsCertSecretName)
  (printf "--tlsCertName=%s" $hook.tlsCertName)
  (printf "--tlsKeyName=%s" $hook.tlsKeyName)
  (printf "--caBundleName=%s" $hook.caBundleName) -}}
{{- with $c.configAddress }}{{ $flags = append $flags (printf "--configAddress=%s" .) }}{{ end -}}
{{- with $pulls }}{{ $flags = append $flags (printf "--extProcImagePullSecrets=%s" (join ";" .)) }}{{ end -}}
{{- with $filter.extraEnvVars }}{{ $flags = append $flags (printf "--extProcExtraEnvVars=%s" (toJson .)) }}{{ end -}}
{{- if $filter.enableRedaction }}{{ $flags = append $flags "--extProcEnableRedaction=true" }}{{ end -}}
{{- with $c.requestHeaderAttributes }}{{ $flags = append $flags (printf "--requestHeaderAttributes=%s" .) }}{{ end -}}
{{- with $c.metricsRequestHeaderAttributes }}{{ $flags = append $flags (printf "--metricsRequestHeaderAttributes=%s" .) }}{{ end -}}
{{- range $name := list "span" "log" -}}
{{- $value := get $c (printf "%sRequestHeaderAttributes" $name) -}}
{{- if not (kindIs "invalid" $value) }}{{ $flags = append $flags (printf "--%sRequestHeaderAttributes=%s" $name $value) }}{{ end -}}
{{- end -}}
{{- if ne $c.quotaRateLimitServiceAddr "envoy-ai-gateway-ratelimit.envoy-gateway-system" -}}
{{- $flags = append $flags (printf "--quotaRateLimitServiceAddr=%s" $c.quotaRateLimitServiceAddr) -}}
{{- end -}}
{{- if ne (int $c.quotaRateLimitTimeout) 5 }}{{ $flags = append $flags (printf "--quotaRateLimitTimeout=%d" (int $c.quotaRateLimitTimeout)) }}{{ end -}}
{{- if $c.quotaRateLimitFailureModeDeny }}{{ $flags = append $flags "--quotaRateLimitFailureModeDeny=true" }}{{ end -}}
{{- if not (kindIs "invalid" $c.maxRecvMsgSize) }}{{ $flags = append $flags (printf "--maxRecvMsgSize=%d" (int64 $c.maxRecvMsgSize)) }}{{ end -}}
{{- toJson $flags -}}
{{- end -}}
