{{- /* Made by manifests/source/generate.ts: change that instead. */ -}}
{{- define "fairlead.capabilities" -}}
- NET_ADMIN
- NET_RAW
- SYS_ADMIN
- SYS_RESOURCE
{{- end -}}

{{- define "fairlead.nodeMounts" -}}
- name: bpffs
  hostPath: /sys/fs/bpf
  type: DirectoryOrCreate
  follows: true
- name: cgroup2
  hostPath: {{ default "/sys/fs/cgroup" .Values.cgroup2HostPath }}
  type: DirectoryOrCreate
  mountPath: /host/sys/fs/cgroup
  follows: true
- name: netns
  hostPath: /run/netns
  type: DirectoryOrCreate
  follows: true
- name: run
  hostPath: {{ default "/run/fairlead" .Values.config.runDir }}
  type: DirectoryOrCreate
- name: state
  hostPath: {{ default "/var/lib/fairlead" .Values.config.stateDir }}
  type: DirectoryOrCreate
- name: cni-bin
  hostPath: {{ default "/opt/cni/bin" .Values.config.cniBinDir }}
  type: DirectoryOrCreate
- name: cni-conf
  hostPath: {{ default "/etc/cni/net.d" .Values.config.cniConfDir }}
  type: DirectoryOrCreate
- name: sysctl-net
  hostPath: /proc/sys/net
  type: Directory
  mountPath: /host/proc/sys/net
- name: timer-list
  hostPath: /proc/timer_list
  type: File
  mountPath: /host/proc/timer_list
  readOnly: true
- name: rcu-expedited
  hostPath: /sys/kernel/rcu_expedited
  type: File
{{- end -}}
