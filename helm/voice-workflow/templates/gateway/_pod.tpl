{{/* Parts of the gateway's container. */}}

{{- define "voice.gatewayEnv" -}}
{{- range $key, $value := include "voice.env" . | fromJson }}
- name: {{ $key }}
  value: {{ $value | toString | quote }}
{{- end }}
- name: POD_NAME
  valueFrom:
    fieldRef:
      fieldPath: metadata.name
- name: POD_NAMESPACE
  valueFrom:
    fieldRef:
      fieldPath: metadata.namespace
{{- $secret := include "voice.keySecret" . }}
{{- if $secret }}
{{- range $key := list "LLM_API_KEY" "LLM_FALLBACK_API_KEY" "NVIDIA_API_KEY" "NGC_API_KEY" "OTEL_EXPORTER_OTLP_HEADERS" "OTEL_EXPORTER_OTLP_TRACES_HEADERS" }}
- name: {{ $key }}
  valueFrom:
    secretKeyRef:
      name: {{ $secret }}
      key: {{ $key }}
      optional: true
{{- end }}
{{- end }}
{{- with .Values.gateway.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "voice.gatewayMounts" -}}
# A folder, not single files: only so an edit of the ConfigMap reaches the pod, all keys at once.
- name: config
  mountPath: /etc/voice-gateway/config
  readOnly: true
{{- if .Values.tls.enabled }}
- name: tls
  mountPath: /etc/voice-gateway/tls
  readOnly: true
{{- end }}
{{- if ne (include "voice.authMode" .) "off" }}
- name: auth
  mountPath: /etc/voice-gateway/auth
  readOnly: true
{{- end }}
{{- if .Values.resume.enabled }}
- name: resume-keys
  mountPath: /etc/voice-gateway/resume
  readOnly: true
{{- end }}
{{- if .Values.riva.caSecret }}
- name: riva-ca
  mountPath: /etc/voice-gateway/riva-ca
  readOnly: true
{{- end }}
- name: tmp
  mountPath: /tmp
{{- with .Values.gateway.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "voice.gatewayVolumes" -}}
- name: config
  configMap:
    name: {{ include "voice.configMap" . }}
{{- if .Values.tls.enabled }}
- name: tls
  secret:
    secretName: {{ include "voice.tlsSecret" . }}
    defaultMode: 0440
{{- end }}
{{- if ne (include "voice.authMode" .) "off" }}
- name: auth
  secret:
    secretName: {{ include "voice.authSecret" . }}
    defaultMode: 0440
{{- end }}
{{- if .Values.resume.enabled }}
- name: resume-keys
  secret:
    secretName: {{ include "voice.resumeSecret" . }}
    defaultMode: 0440
    items:
      - {key: keys, path: keys}
{{- end }}
{{- if .Values.riva.caSecret }}
- name: riva-ca
  secret:
    secretName: {{ .Values.riva.caSecret }}
    defaultMode: 0440
    items:
      - {key: ca.crt, path: ca.crt}
{{- end }}
- name: tmp
  emptyDir:
    sizeLimit: {{ .Values.gateway.tmpSizeLimit }}
{{- with .Values.gateway.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}
