{{/* Labels of every object that the chart makes; takes (list . COMPONENT). */}}
{{- define "sectum.labels" -}}
{{- $root := index . 0 -}}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" }}
{{ include "sectum.selector" . }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: sectum
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
{{- end }}

{{- define "sectum.selector" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: sectum-operator
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{/* Name of a cluster-wide object, one for each namespace of runs; takes (list . PART). */}}
{{- define "sectum.clusterName" -}}
sectum-{{ index . 1 }}.{{ (index . 0).Values.runs.namespace }}
{{- end }}

{{- define "sectum.operatorUser" -}}
system:serviceaccount:{{ .Release.Namespace }}:sectum-operator
{{- end }}

{{- define "sectum.operatorImage" -}}
{{ .Values.images.operator.repository }}@{{ .Values.images.operator.digest }}
{{- end }}

{{- define "sectum.probesImage" -}}
{{ .Values.images.probes.repository }}@{{ .Values.images.probes.digest }}
{{- end }}

{{/* Pods of runs: the fence sees to it that the operator makes no others. */}}
{{- define "sectum.runPods" -}}
app.kubernetes.io/managed-by: sectum-operator
{{- end }}

{{/* A strings' list -> a CEL list of strings. The schema lets no quote through. */}}
{{- define "sectum.cel" -}}
[{{ range $i, $each := . }}{{ if $i }}, {{ end }}'{{ $each }}'{{ end }}]
{{- end }}

{{- define "sectum.host" -}}
{{ . }}/{{ contains ":" . | ternary 128 32 }}
{{- end }}

{{/* Where the API server is: a YAML list of {cidr, port}, as the values say, or as the cluster does. */}}
{{- define "sectum.apiServer" -}}
{{- $found := list -}}
{{- if .Values.network.apiServer -}}
{{- $found = .Values.network.apiServer -}}
{{- else -}}
{{- range $slice := (lookup "discovery.k8s.io/v1" "EndpointSlice" "default" "").items -}}
{{- if eq (dig "metadata" "labels" "kubernetes.io/service-name" "" $slice) "kubernetes" -}}
{{- range $endpoint := $slice.endpoints -}}
{{- range $address := $endpoint.addresses -}}
{{- range $port := $slice.ports -}}
{{- $found = append $found (dict "cidr" (include "sectum.host" $address) "port" (int $port.port)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if not $found -}}
{{- fail "network.apiServer is empty, and no EndpointSlice of the service default/kubernetes could be looked up (`helm template` and --dry-run=client look nothing up). Set it to a list of {cidr, port}, for example --set-json 'network.apiServer=[{\"cidr\":\"10.0.0.1/32\",\"port\":6443}]'" -}}
{{- end -}}
{{- /* Some networks judge a connection before the service's address becomes the endpoint's. */ -}}
{{- $service := lookup "v1" "Service" "default" "kubernetes" -}}
{{- range $address := dig "spec" "clusterIPs" list $service -}}
{{- range $port := dig "spec" "ports" list $service -}}
{{- $found = append $found (dict "cidr" (include "sectum.host" $address) "port" (int $port.port)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{ toYaml $found }}
{{- end }}

{{/* Egress rules to the API server. */}}
{{- define "sectum.apiServerRules" -}}
{{- range include "sectum.apiServer" . | fromYamlArray }}
- to: [{ipBlock: {cidr: {{ .cidr | quote }}}}]
  ports: [{protocol: TCP, port: {{ int .port }}}]
{{- end }}
{{- end }}

{{/* Egress rules to the cluster's DNS. */}}
{{- define "sectum.dnsRules" -}}
{{- $dns := .Values.network.dns -}}
- to:
    - namespaceSelector:
        matchLabels:
          kubernetes.io/metadata.name: {{ $dns.namespace }}
      podSelector:
        matchLabels: {{- toYaml $dns.labels | nindent 10 }}
    {{- range $dns.cidrs }}
    - ipBlock: {cidr: {{ . | quote }}}
    {{- end }}
  ports:
    {{- range $dns.ports }}
    - {protocol: UDP, port: {{ . }}}
    - {protocol: TCP, port: {{ . }}}
    {{- end }}
{{- end }}

{{- define "sectum.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "sectum.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{/* Denies, everywhere, what the fence of that name finds wrong; takes (list . NAME). */}}
{{- define "sectum.binding" -}}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata:
  name: {{ include "sectum.clusterName" . }}
  labels: {{- include "sectum.labels" (list (index . 0) "fence") | nindent 4 }}
spec:
  policyName: {{ include "sectum.clusterName" . }}
  validationActions: [Deny]
{{- end }}
