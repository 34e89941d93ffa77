{{/* What the embedded backends have in common. Their pods do not carry app=voice-gateway: the gateway's Service, its
budget and the commands of the runbook select by it. */}}

{{- define "voice.embeddedPod" -}}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  {{- include "voice.podSecurity" . | nindent 2 }}
{{- include "voice.placement" .Values.embedded }}
volumes:
  - name: tmp
    emptyDir:
      sizeLimit: 256Mi
{{- end }}

{{- define "voice.embeddedContainer" -}}
image: {{ include "voice.image" (dict "root" .root "image" .root.Values.embedded.image) | quote }}
imagePullPolicy: {{ .root.Values.embedded.image.pullPolicy }}
securityContext:
  {{- include "voice.containerSecurity" . | nindent 2 }}
resources:
  {{- toYaml .part.resources | nindent 2 }}
volumeMounts:
  - {name: tmp, mountPath: /tmp}
{{- end }}

{{- define "voice.embeddedEnv" -}}
{{- $env := .own -}}
{{- range $key, $value := .env }}{{ $_ := set $env $key (include "voice.text" $value) }}{{ end -}}
{{- range $key, $value := $env }}
- name: {{ $key }}
  value: {{ $value | toString | quote }}
{{- end }}
{{- end }}

{{/* Nobody but the gateway; where there are metrics, scrapers too. */}}
{{- define "voice.embeddedPolicy" }}
{{- if .root.Values.networkPolicy.enabled }}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  {{- include "voice.metadata" . | nindent 2 }}
spec:
  podSelector:
    matchLabels:
      {{- include "voice.selector" . | nindent 6 }}
  policyTypes: [Ingress]
  ingress:
    - from:
        - podSelector:
            matchLabels:
              {{- include "voice.selector" (dict "root" .root "app" "voice-gateway") | nindent 14 }}
      ports:
        {{- range .ports }}
        - {port: {{ . }}, protocol: TCP}
        {{- end }}
    {{- with .metrics }}
    - ports:
        - {port: {{ . }}, protocol: TCP}
      {{- with $.root.Values.networkPolicy.scrapers }}
      from:
        {{- toYaml . | nindent 8 }}
      {{- end }}
    {{- end }}
{{- end }}
{{- end }}
