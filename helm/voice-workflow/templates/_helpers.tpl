{{/* Names, labels, images. */}}

{{- define "voice.release" -}}
{{- default .Release.Name .Values.fullnameOverride | trunc 45 | trimSuffix "-" -}}
{{- end }}

{{- define "voice.gateway" -}}{{ include "voice.release" . }}-gateway{{- end }}
{{- define "voice.speechWorker" -}}{{ include "voice.release" . }}-speech-worker{{- end }}
{{- define "voice.responder" -}}{{ include "voice.release" . }}-responder{{- end }}

{{/* Selectors are immutable: nothing that a value or a version changes is among them. */}}
{{- define "voice.selector" -}}
app: {{ .app }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- end }}

{{/* Of pods. No version is among them, so that a new chart alone replaces no pod. */}}
{{- define "voice.podLabels" -}}
{{ include "voice.selector" . }}
app.kubernetes.io/name: {{ .app }}
app.kubernetes.io/part-of: voice-workflow
{{- with .root.Values.extraLabels }}
{{ include "voice.strings" . }}
{{- end }}
{{- end }}

{{/* Of objects. (dict "root" $ "app" "voice-gateway" "name" NAME "annotations" DICT "labels" DICT) */}}
{{- define "voice.metadata" -}}
name: {{ .name }}
namespace: {{ .root.Release.Namespace }}
labels:
  {{- include "voice.podLabels" . | nindent 2 }}
  app.kubernetes.io/managed-by: {{ .root.Release.Service }}
  app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
  helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
  {{- with .labels }}
  {{- include "voice.strings" . | nindent 2 }}
  {{- end }}
{{- with merge (dict) (default (dict) .annotations) .root.Values.extraAnnotations }}
annotations:
  {{- include "voice.strings" . | nindent 2 }}
{{- end }}
{{- end }}

{{/* (dict "root" $ "image" .Values.gateway.image) */}}
{{- define "voice.image" -}}
{{- with .root.Values.imageRegistry }}{{ trimSuffix "/" . }}/{{ end -}}
{{- .image.repository -}}
{{- if .image.digest }}@{{ .image.digest }}{{ else }}:{{ .image.tag | toString | default .root.Chart.AppVersion }}{{ end -}}
{{- end }}

{{/* A value as text: 1000000 and not 1e+06, and a list with commas. */}}
{{- define "voice.text" -}}
{{- if kindIs "float64" . -}}
{{- if eq (floor .) . }}{{ int64 . }}{{ else }}{{ . }}{{ end -}}
{{- else if kindIs "slice" . -}}
{{- join "," . -}}
{{- else if kindIs "invalid" . -}}
{{- else -}}
{{- . | toString -}}
{{- end -}}
{{- end }}

{{/* Labels, annotations or a selector: Kubernetes takes text only, and --set makes true and 5 of what was meant as such. */}}
{{- define "voice.strings" -}}
{{- $texts := dict -}}
{{- range $key, $value := . }}{{ $_ := set $texts $key (include "voice.text" $value) }}{{ end -}}
{{- toYaml $texts -}}
{{- end }}

{{/* The namespace's "restricted" level asks for all of these. */}}
{{- define "voice.podSecurity" -}}
runAsNonRoot: true
runAsUser: 1000
runAsGroup: 1000
fsGroup: 1000
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "voice.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities:
  drop: [ALL]
{{- end }}

{{/* (dict "nodeSelector" ... "tolerations" ... "affinity" ... "priorityClassName" ...) of a pod */}}
{{- define "voice.placement" -}}
{{- with .nodeSelector }}
nodeSelector:
  {{- include "voice.strings" . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end }}

{{- define "voice.serviceAccount" -}}
{{- default (ternary (include "voice.gateway" .) "default" .Values.serviceAccount.create) .Values.serviceAccount.name -}}
{{- end }}

{{/* Whether the gateway talks to the API server: "true" or nothing. */}}
{{- define "voice.usesKubernetes" -}}
{{- if or .Values.kubernetes.events .Values.kubernetes.podDeletionCost }}true{{ end -}}
{{- end }}

{{- define "voice.configMap" -}}
{{- default (printf "%s-config" (include "voice.release" .)) .Values.config.existingConfigMap -}}
{{- end }}

{{/* off, api_key or jwt; YAML reads a bare off as false. */}}
{{- define "voice.authMode" -}}
{{- .Values.auth.mode | default "off" -}}
{{- end }}

{{/* What a caller shows: in the environment, where no list of processes has it. */}}
{{- define "voice.callerSecret" -}}
{{- $mode := include "voice.authMode" . -}}
{{- if eq $mode "api_key" }}VOICE_API_KEY=... {{ else if eq $mode "jwt" }}VOICE_TOKEN=... {{ end -}}
{{- end }}

{{- define "voice.authSecret" -}}
{{- default (printf "%s-auth" (include "voice.release" .)) .Values.auth.existingSecret -}}
{{- end }}

{{- define "voice.tlsSecret" -}}
{{- default (printf "%s-tls" (include "voice.release" .)) .Values.tls.existingSecret -}}
{{- end }}

{{- define "voice.resumeSecret" -}}
{{- default (printf "%s-resume-keys" (include "voice.release" .)) .Values.resume.existingSecret -}}
{{- end }}

{{/* Name of the Secret with API keys of backends; empty where there is none. */}}
{{- define "voice.keySecret" -}}
{{- if .Values.secrets.existingSecret -}}
{{- .Values.secrets.existingSecret -}}
{{- else if or .Values.secrets.llmApiKey .Values.secrets.llmFallbackApiKey .Values.secrets.nvidiaApiKey -}}
{{- include "voice.release" . }}-api-keys
{{- end -}}
{{- end }}

{{/* The names that callers inside the cluster use. */}}
{{- define "voice.serviceNames" -}}
{{- $names := list -}}
{{- range $service := list (include "voice.gateway" .) (printf "%s-headless" (include "voice.gateway" .)) -}}
{{- $names = append $names $service -}}
{{- $names = append $names (printf "%s.%s" $service $.Release.Namespace) -}}
{{- $names = append $names (printf "%s.%s.svc" $service $.Release.Namespace) -}}
{{- $names = append $names (printf "%s.%s.svc.cluster.local" $service $.Release.Namespace) -}}
{{- end -}}
{{- toJson $names -}}
{{- end }}

{{/* What drain adds up to. 10 s: the last words of cut calls (2 s), closing backends and files, and room. */}}
{{- define "voice.drainSeconds" -}}
{{- add (int .Values.drain.endpointSeconds) (max (int .Values.drain.resumableSeconds) (int .Values.drain.legacyMaxSeconds)) 10 -}}
{{- end }}

{{- define "voice.gracePeriodSeconds" -}}
{{- default (include "voice.drainSeconds" .) (include "voice.text" .Values.gateway.terminationGracePeriodSeconds) -}}
{{- end }}
