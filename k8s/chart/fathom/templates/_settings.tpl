{{/* The configuration files of the processes. A pod's checksum is of its own component's file only, so that a change
     restarts whom it concerns. Numbers go through int64 or toJson: a values file gives them as floats, which print as
     1e+06 from a million on. */}}

{{/* Settings that every service has: (list $ port). */}}
{{- define "fathom.commonSettings" -}}
{{- $root := index . 0 -}}
host: 0.0.0.0
port: {{ index . 1 | int64 }}
log-level: {{ $root.Values.logLevel }}
drain-timeout: {{ sub $root.Values.drainSeconds 2 }}s
{{- if $root.Values.tls.enabled }}
tls-certificate: /etc/fathom/tls/tls.crt
tls-key: /etc/fathom/tls/tls.key
tls-trust-roots: /etc/fathom/tls/ca.crt
{{- end }}
{{- end -}}

{{/* Whether callers of a wire service must present the cluster's certificate. */}}
{{- define "fathom.mutualSettings" -}}
{{- if .Values.tls.enabled }}
tls-require-client-certificate: {{ .Values.tls.mutual }}
{{- end }}
{{- end -}}

{{- define "fathom.settings.gateway" -}}
{{- $name := include "fathom.fullname" . -}}
{{- $namespace := include "fathom.namespace" . -}}
{{ include "fathom.commonSettings" (list . .Values.gateway.port) }}
# The probes of the kubelet, which trusts no authority and presents no certificate, have a port of their own.
probe-port: {{ .Values.gateway.probePort | int64 }}
{{- if .Values.gateway.tls.enabled }}
http-tls: own
http-tls-certificate: /etc/fathom/api-tls/tls.crt
http-tls-key: /etc/fathom/api-tls/tls.key
{{- if .Values.gateway.tls.clientAuthority }}
http-tls-client-roots: /etc/fathom/api-clients/ca.crt
{{- end }}
{{- else }}
http-tls: plaintext
{{- end }}
monitor: {{ include "fathom.monitorAddress" . }}
inference: {{ $name }}-shard-0.{{ $name }}-shard.{{ $namespace }}.svc:{{ .Values.shard.port | int64 }}
store: {{ $name }}-store.{{ $namespace }}.svc:{{ .Values.store.port | int64 }}
keys: /etc/fathom/keys/keys.json
state: /var/lib/fathom
{{- end -}}

{{- define "fathom.settings.shard" -}}
{{ include "fathom.commonSettings" (list . .Values.shard.port) }}
{{- include "fathom.mutualSettings" . }}
monitor: {{ include "fathom.monitorAddress" . }}
model:
  {{- range prepend .Values.model.more .Values.model }}
  - {{ printf "%s=/models/%s" .name .file | quote }}
  {{- end }}
verify-models: {{ .Values.model.verify | quote }}
{{- if eq .Values.model.verify "signature" }}
verify-key: /etc/fathom/verify-key/{{ .Values.model.verifyKey.key }}
{{- end }}
stages: {{ .Values.shard.stages | int64 }}
kv-type: {{ .Values.shard.kvType }}
prefix-cache: {{ .Values.shard.prefixCache }}
draft-tokens: {{ .Values.shard.draftTokens | int64 }}
prefill-share: {{ .Values.shard.prefillShare | toJson }}
{{- with .Values.shard.memoryBudget }}
memory-budget: {{ . }}
{{- end }}
{{- with .Values.shard.threads | int64 }}
threads: {{ . }}
{{- end }}
{{- with .Values.shard.kvBlocks | int64 }}
kv-blocks: {{ . }}
{{- end }}
{{- with .Values.shard.maxBatchedTokens | int64 }}
max-batched-tokens: {{ . }}
{{- end }}
{{- with .Values.shard.maxRunning | int64 }}
max-running: {{ . }}
{{- end }}
{{- with .Values.shard.maxWaiting | int64 }}
max-waiting: {{ . }}
{{- end }}
{{- end -}}

{{- define "fathom.settings.store" -}}
{{ include "fathom.commonSettings" (list . .Values.store.port) }}
{{- include "fathom.mutualSettings" . }}
monitor: {{ include "fathom.monitorAddress" . }}
data: /var/lib/fathom
encoder: /models/{{ .Values.model.encoder }}
{{- with .Values.store.threads | int64 }}
threads: {{ . }}
{{- end }}
{{- end -}}

{{- define "fathom.settings.monitor" -}}
{{- $name := printf "%s-monitor" (include "fathom.fullname" .) -}}
{{- $namespace := include "fathom.namespace" . -}}
{{ include "fathom.commonSettings" (list . .Values.monitor.port) }}
{{- include "fathom.mutualSettings" . }}
http-port: {{ .Values.monitor.httpPort | int64 }}
# Under which names the page is asked for: the service's, and those of whatever publishes it.
allowed-hosts:
  - {{ $name }}
  - {{ $name }}.{{ $namespace }}
  - {{ $name }}.{{ $namespace }}.svc
  - {{ $name }}.{{ $namespace }}.svc.{{ .Values.clusterDomain }}
  {{- range .Values.monitor.allowedHosts }}
  - {{ . | quote }}
  {{- end }}
{{- end -}}

{{/* A component's file: (list $ "shard"). */}}
{{- define "fathom.settings" -}}
{{ include (printf "fathom.settings.%s" (index . 1)) (index . 0) }}
{{- end -}}
