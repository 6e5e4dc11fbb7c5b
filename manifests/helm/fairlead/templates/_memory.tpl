{{- /* Made by manifests/source/generate.ts: change that instead. Sizes as agent/kernel/map-memory.ts has them. */ -}}
{{- define "fairlead.mapBytes" -}}
{{- $entries := toJson .entries | int64 -}}
{{- $buckets := int64 1 -}}
{{- range until 25 }}{{ if lt $buckets $entries }}{{ $buckets = mul $buckets 2 }}{{ end }}{{ end -}}
{{- add (mul $entries .each) (mul $buckets .bucket) -}}
{{- end -}}

{{- define "fairlead.memoryLimit" -}}
{{- $config := .Values.config -}}
{{- $maps := default dict $config.maps -}}
{{- $bytes := int64 18213848 -}}
{{- $bytes = add $bytes 0 (include "fairlead.mapBytes" (dict "entries" (default 65536 $maps.affinity) "each" 88 "bucket" 16)) -}}
{{- $bytes = add $bytes 0 (include "fairlead.mapBytes" (dict "entries" (default 131072 $maps.backends) "each" 32 "bucket" 0)) -}}
{{- $bytes = add $bytes 0 (include "fairlead.mapBytes" (dict "entries" (default 65536 $maps.cidrs) "each" 128 "bucket" 0)) -}}
{{- $bytes = add $bytes 0 (include "fairlead.mapBytes" (dict "entries" (default (default 131072 $maps.backends) $maps.conns) "each" 8 "bucket" 0)) -}}
{{- $bytes = add $bytes 0 (include "fairlead.mapBytes" (dict "entries" (default 262144 $config.ctMaxEntries) "each" 128 "bucket" 16)) -}}
{{- $bytes = add $bytes 0 (include "fairlead.mapBytes" (dict "entries" (default 262144 $config.ctMaxEntries) "each" 192 "bucket" 16)) -}}
{{- $bytes = add $bytes 12288 (include "fairlead.mapBytes" (dict "entries" (default 1048576 $maps.events) "each" 1 "bucket" 0)) -}}
{{- $bytes = add $bytes 0 (include "fairlead.mapBytes" (dict "entries" (default 8192 $maps.frags) "each" 128 "bucket" 16)) -}}
{{- $bytes = add $bytes 0 (include "fairlead.mapBytes" (dict "entries" (default 65536 $maps.ipcache) "each" 72 "bucket" 16)) -}}
{{- $bytes = add $bytes 0 (include "fairlead.mapBytes" (dict "entries" (default 262144 $maps.policy) "each" 72 "bucket" 16)) -}}
{{- $bytes = add $bytes 0 (include "fairlead.mapBytes" (dict "entries" (default 131072 $maps.ranges) "each" 8 "bucket" 0)) -}}
{{- $bytes = add $bytes 0 (include "fairlead.mapBytes" (dict "entries" (default 65536 $maps.services) "each" 120 "bucket" 16)) -}}
{{- $bytes = add $bytes 0 (include "fairlead.mapBytes" (dict "entries" (default (ternary 262144 32768 (eq "dsr" (default "snat" $config.northSouth))) $maps.slots) "each" 64 "bucket" 0)) -}}
{{- $bytes = add $bytes 0 (include "fairlead.mapBytes" (dict "entries" (default 65536 $maps.sock_rev) "each" 104 "bucket" 16)) -}}
{{- $bytes = add $bytes 0 (include "fairlead.mapBytes" (dict "entries" (default 65536 $maps.sources) "each" 128 "bucket" 0)) -}}
{{- $bytes = add $bytes 0 (include "fairlead.mapBytes" (dict "entries" (default (ternary 65536 64 (eq "dsr" (default "snat" $config.northSouth))) $maps.xdp_svc) "each" 64 "bucket" 0)) -}}
{{- $step := mul 64 1048576 -}}
{{- $total := add $bytes (mul (toJson .Values.agentMemoryMi | int64) 1048576) -}}
{{- printf "%dMi" (mul 64 (div (add $total (sub $step 1)) $step)) -}}
{{- end -}}
