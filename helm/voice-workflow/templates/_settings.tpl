{{/* Which settings go where: the ConfigMap (live) or the environment (at a restart). */}}

{{/* Keys of the ConfigMap and their text, as JSON. */}}
{{- define "voice.configData" -}}
{{- $config := .Values.config -}}
{{- $data := dict
  "ASR_LANGUAGE" $config.asr.language
  "ASR_SAMPLE_RATE" (include "voice.text" $config.asr.sampleRate)
  "LLM_MAX_TOKENS" (include "voice.text" $config.llm.maxTokens)
  "LLM_MODEL" $config.llm.model
  "LLM_SYSTEM_PROMPT" $config.llm.systemPrompt
  "LLM_TEMPERATURE" (include "voice.text" $config.llm.temperature)
  "TTS_SAMPLE_RATE" (include "voice.text" $config.tts.sampleRate)
  "TTS_VOICE" $config.tts.voice
-}}
{{- /* An empty voice would win over the one of the hosted preset. */ -}}
{{- if and (eq (include "voice.hosted" .) "true") (not $config.tts.voice) }}{{ $data = omit $data "TTS_VOICE" }}{{ end -}}
{{- range $key, $value := $config.extra }}{{ $_ := set $data $key (include "voice.text" $value) }}{{ end -}}
{{- toJson $data -}}
{{- end }}

{{- define "voice.hosted" -}}
{{- eq (toString (dig "BACKENDS" "own" .Values.gateway.env)) "hosted" -}}
{{- end }}

{{- define "voice.embeddedSpeech" -}}
{{- if and .Values.embedded.enabled .Values.embedded.speechWorker.enabled }}true{{ end -}}
{{- end }}

{{- define "voice.embeddedModel" -}}
{{- if and .Values.embedded.enabled .Values.embedded.responder.enabled }}true{{ end -}}
{{- end }}

{{/* What the chart alone sets, as JSON: its templates count on these. */}}
{{- define "voice.ownEnv" -}}
{{- $bind := .Values.gateway.bindAddress -}}
{{- $env := dict
  "GATEWAY_CONFIG" "/etc/voice-gateway/config"
  "GATEWAY_LISTEN_ADDRESS" (printf "%s:50051" $bind)
  "METRICS_LISTEN_ADDRESS" (printf "%s:8080" $bind)
  "MAX_CALLS" (include "voice.text" .Values.gateway.maxCalls)
  "DRAIN_RESUMABLE_SECONDS" (include "voice.text" .Values.drain.resumableSeconds)
  "DRAIN_LEGACY_MAX_SECONDS" (include "voice.text" .Values.drain.legacyMaxSeconds)
  "AUTH_MODE" (include "voice.authMode" .)
  "KUBERNETES_EVENTS" (toString .Values.kubernetes.events)
  "POD_DELETION_COST" (toString .Values.kubernetes.podDeletionCost)
-}}
{{- if .Values.tls.enabled -}}
{{- $_ := set $env "HEALTH_LISTEN_ADDRESS" (printf "%s:50052" $bind) -}}
{{- $_ := set $env "TLS_CERT_FILE" "/etc/voice-gateway/tls/tls.crt" -}}
{{- $_ := set $env "TLS_KEY_FILE" "/etc/voice-gateway/tls/tls.key" -}}
{{- if .Values.tls.clientCertificates }}{{ $_ := set $env "TLS_CLIENT_CA_FILE" "/etc/voice-gateway/tls/ca.crt" }}{{ end -}}
{{- end -}}
{{- if eq (include "voice.authMode" .) "api_key" -}}
{{- $_ := set $env "AUTH_API_KEYS_FILE" "/etc/voice-gateway/auth/api-keys" -}}
{{- else if eq (include "voice.authMode" .) "jwt" -}}
{{- $_ := set $env "AUTH_JWT_PUBLIC_KEY_FILE" "/etc/voice-gateway/auth/jwt-public-key" -}}
{{- $_ := set $env "AUTH_JWT_ISSUER" .Values.auth.jwt.issuer -}}
{{- $_ := set $env "AUTH_JWT_AUDIENCE" .Values.auth.jwt.audience -}}
{{- end -}}
{{- if .Values.resume.enabled -}}
{{- $_ := set $env "RESUME_KEYS_FILE" "/etc/voice-gateway/resume/keys" -}}
{{- end -}}
{{- with include "voice.text" .Values.resume.validSeconds }}{{ $_ := set $env "RESUME_VALID_SECONDS" . }}{{ end -}}
{{- if .Values.riva.caSecret }}{{ $_ := set $env "RIVA_TLS_CA_FILE" "/etc/voice-gateway/riva-ca/ca.crt" }}{{ end -}}
{{- toJson $env -}}
{{- end }}

{{/* Where backends are, unless gateway.env says so, as JSON. */}}
{{- define "voice.backendEnv" -}}
{{- $env := dict -}}
{{- if ne (include "voice.hosted" .) "true" -}}
{{- if include "voice.embeddedSpeech" . -}}
{{- $_ := set $env "RIVA_URI" (printf "%s:50051" (include "voice.speechWorker" .)) -}}
{{- else -}}
{{- $_ := set $env "RIVA_URI" .Values.riva.uri -}}
{{- if .Values.riva.tls }}{{ $_ := set $env "RIVA_TLS" "true" }}{{ end -}}
{{- end -}}
{{- if include "voice.embeddedModel" . -}}
{{- $_ := set $env "LLM_BASE_URL" (printf "http://%s:8000/v1" (include "voice.responder" .)) -}}
{{- else -}}
{{- $_ := set $env "LLM_BASE_URL" .Values.nim.baseUrl -}}
{{- end -}}
{{- end -}}
{{- toJson $env -}}
{{- end }}

{{/* All of the container's variables with a plain value, as JSON. */}}
{{- define "voice.env" -}}
{{- $env := mergeOverwrite (include "voice.backendEnv" . | fromJson) (include "voice.ownEnv" . | fromJson) -}}
{{- range $key, $value := .Values.gateway.env }}{{ $_ := set $env $key (include "voice.text" $value) }}{{ end -}}
{{- toJson $env -}}
{{- end }}

{{/* Those settings of the ConfigMap that take effect at a restart only, as JSON: pods are replaced when they change. */}}
{{- define "voice.restartConfig" -}}
{{- $known := .Files.Get "files/settings.json" | fromJson -}}
{{- $at := dict -}}
{{- range $key, $value := include "voice.configData" . | fromJson -}}
{{- if eq (dig $key "applies" "" $known) "restart" }}{{ $_ := set $at $key $value }}{{ end -}}
{{- end -}}
{{- toJson $at -}}
{{- end }}
