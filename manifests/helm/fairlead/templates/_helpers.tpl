{{- /* What several templates use. manifests/source/ has the same in TypeScript; a test compares the results. */ -}}
{{- define "fairlead.labels" -}}
app.kubernetes.io/name: fairlead
app.kubernetes.io/component: agent
app.kubernetes.io/part-of: fairlead
app.kubernetes.io/version: {{ .Chart.AppVersion }}
{{- end -}}

{{- define "fairlead.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ default $.Chart.AppVersion .tag }}
{{- end -}}
{{- end -}}
{{- end -}}

{{- /* The agent's configuration as JSON. */ -}}
{{- define "fairlead.config" -}}
{{- $config := deepCopy .Values.config -}}
{{- if and .Values.monitoring.podMonitor (not (hasKey $config "metricsBindAddress")) -}}
{{- $_ := set $config "metricsBindAddress" "[::]:10249" -}}
{{- end -}}
{{- $_ := set $config "source" "kubernetes" -}}
{{- $_ := set $config "cgroupRoot" "/host/sys/fs/cgroup" -}}
{{- toJson $config -}}
{{- end -}}

{{- /* Port of 'HOST:PORT'. */ -}}
{{- define "fairlead.port" -}}
{{- regexFind "[0-9]+$" . -}}
{{- end -}}

{{- /* httpGet of a probe; dict "path" "root". */ -}}
{{- define "fairlead.httpGet" -}}
{{- $address := default "[::]:10256" .root.Values.config.healthzBindAddress -}}
{{- $host := regexReplaceAll ":[0-9]+$" $address "" | trimPrefix "[" | trimSuffix "]" -}}
path: {{ .path }}
port: {{ include "fairlead.port" $address }}
{{- if not (has $host (list "::" "0.0.0.0")) }}
host: {{ $host | quote }}
{{- end }}
{{- end -}}
