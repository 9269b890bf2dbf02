{{- define "ledgerline.name" -}}
{{- printf "%s" .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- define "ledgerline.labels" -}}
app.kubernetes.io/name: ledgerline
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{/* Takes (dict "root" $ "component" "web"). */}}
{{- define "ledgerline.selector" -}}
app.kubernetes.io/name: ledgerline
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "ledgerline.image" -}}
{{- printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) -}}
{{- end -}}

{{/* A licence that is required and missing stops the rendering, not the customers. */}}
{{- define "ledgerline.licence" -}}
{{- if .Values.licence.required }}
{{- if not .Values.licence.existingSecret }}
{{- $key := required "licence.required is on: set licence.key, or licence.existingSecret" .Values.licence.key }}
{{- end }}
- name: LICENCE_REQUIRED
  value: "1"
{{- end }}
{{- if .Values.licence.existingSecret }}
- name: LICENCE_KEY
  valueFrom:
    secretKeyRef:
      name: {{ .Values.licence.existingSecret }}
      key: {{ .Values.licence.existingSecretKey }}
{{- else if .Values.licence.key }}
- name: LICENCE_KEY
  value: {{ .Values.licence.key | quote }}
{{- end }}
{{- end -}}

{{/* Everything a container of ours has but its name, command, probes and resources. */}}
{{- define "ledgerline.container" -}}
{{- $host := required "host: the name under which owners and satellites reach this installation" .Values.host -}}
image: {{ include "ledgerline.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
env:
  - name: DEBUG
    value: "0"
  - name: ALLOWED_HOSTS
    value: {{ $host | quote }}
  - name: SITE_URL
    value: {{ printf "https://%s" $host | quote }}
  - name: CSRF_TRUSTED_ORIGINS
    value: {{ printf "https://%s" $host | quote }}
  {{- include "ledgerline.licence" . | nindent 2 }}
  {{- range $name, $value := .Values.config }}
  - name: {{ $name }}
    value: {{ $value | quote }}
  {{- end }}
envFrom:
  - secretRef:
      name: {{ required "existingSecret: a Secret with SECRET_KEY, DATABASE_URL, REDIS_URL and the keys of Stripe" .Values.existingSecret }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
volumeMounts:
  - name: tmp
    mountPath: /tmp
{{- end -}}

{{- define "ledgerline.pod" -}}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  seccompProfile:
    type: RuntimeDefault
volumes:
  - name: tmp
    emptyDir:
      sizeLimit: 64Mi
{{- with .Values.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* No two pods of one component on one machine, where there are enough machines. */}}
{{- define "ledgerline.spread" -}}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels: {{- include "ledgerline.selector" . | nindent 8 }}
{{- end -}}
