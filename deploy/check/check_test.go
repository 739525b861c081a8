// Package check holds the files of deploy/ to the types of those who read them. It is a
// module of its own, so that no other one needs those types.
package check

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/yaml"
)

// drain is what a server needs to end beside AUTH_SHUTDOWN_DELAY, which counts twice:
// 20 s for requests, 5 s for the decision log.
const drain = 25 * time.Second

func read(t *testing.T, path ...string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(append([]string{".."}, path...)...))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// secrets are what compose/env.example leaves empty.
var secrets = []string{
	"GATEHOUSE_PUBLIC_URL=https://localhost", "POSTGRES_PASSWORD=a", "GATEHOUSE_DATABASE_PASSWORD=b", "REPLICATION_PASSWORD=c",
}

func compose(t *testing.T, environment []string) (*types.Project, error) {
	t.Helper()
	options, err := cli.NewProjectOptions([]string{"../compose/compose.yaml"},
		cli.WithEnv(environment), cli.WithProfiles([]string{"*"}), cli.WithInterpolation(true))
	if err != nil {
		t.Fatal(err)
	}
	return options.LoadProject(t.Context())
}

func TestComposeHasNoDefaultSecret(t *testing.T) {
	t.Parallel()
	for n, missing := range secrets {
		name, _, _ := strings.Cut(missing, "=")
		if _, err := compose(t, slices.Delete(slices.Clone(secrets), n, n+1)); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("without %s: got %v, want an error that names it", name, err)
		}
		if !strings.Contains(read(t, "compose", "env.example"), "\n"+name+"=\n") {
			t.Errorf("env.example has no empty %s", name)
		}
	}
}

func TestComposeFitsTogether(t *testing.T) {
	t.Parallel()
	project, err := compose(t, secrets)
	if err != nil {
		t.Fatal(err)
	}
	nginx, prometheus := read(t, "compose", "nginx.conf"), read(t, "compose", "prometheus.yaml")
	kept := duration(t, regexp.MustCompile(`(?s)upstream gatehouse \{.*?keepalive_timeout (\w+);`).FindStringSubmatch(nginx)[1])
	servers := 0
	for name, service := range project.Services {
		for _, volume := range service.Volumes {
			if volume.Type != types.VolumeTypeBind {
				continue
			}
			if _, err := os.Stat(volume.Source); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		if service.MemLimit == 0 && name != "migrate" {
			t.Errorf("%s has no limit of memory", name)
		}
		if !strings.HasPrefix(name, "gatehouse-") {
			continue
		}
		servers++
		setting := func(name string) string {
			if value := service.Environment[name]; value != nil {
				return *value
			}
			return ""
		}
		if !strings.Contains(nginx, "server "+name+":8000 ") {
			t.Errorf("nginx.conf does not know %s", name)
		}
		if _, port, _ := strings.Cut(setting("AUTH_METRICS_ADDRESS"), ":"); !strings.Contains(prometheus, name+":"+port) {
			t.Errorf("prometheus.yaml does not know %s:%s", name, port)
		}
		if got, want := setting("AUTH_TRUSTED_PROXIES"), project.Services["nginx"].Networks["front"].Ipv4Address; got != want {
			t.Errorf("%s trusts %s, and nginx is %s", name, got, want)
		}
		delay := duration(t, setting("AUTH_SHUTDOWN_DELAY"))
		if service.StopGracePeriod == nil || time.Duration(*service.StopGracePeriod) < 2*delay+drain {
			t.Errorf("%s is killed after %v, want %s or more", name, service.StopGracePeriod, 2*delay+drain)
		}
		if delay <= kept {
			t.Errorf("nginx keeps connections for %s, want less than the %s of AUTH_SHUTDOWN_DELAY", kept, delay)
		}
		wantMemoryBelow(t, name, setting("GOMEMLIMIT"), int64(service.MemLimit))
	}
	if servers != 3 {
		t.Errorf("got %d servers, want 3", servers)
	}
}

func TestScriptsOfTheDatabase(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"primary.sh", "replica.sh"} {
		path := filepath.Join("..", "compose", "postgres", name)
		// The image would read what is not executable into its own shell.
		if info, err := os.Stat(path); err != nil || info.Mode()&0o111 == 0 {
			t.Errorf("%s: got %v, %v, want it executable", name, info, err)
		}
		if out, err := exec.Command("sh", "-n", path).CombinedOutput(); err != nil {
			t.Errorf("%s: %v: %s", name, err, out)
		}
	}
}

func TestKubernetesManifests(t *testing.T) {
	t.Parallel()
	var (
		config       corev1.ConfigMap
		deployment   appsv1.Deployment
		service      corev1.Service
		budget       policyv1.PodDisruptionBudget
		network      networkingv1.NetworkPolicy
		job          batchv1.Job
		jobNetwork   networkingv1.NetworkPolicy
		secret, cert corev1.Secret
	)
	for path, into := range map[string][]any{
		"configmap.yaml": {&config}, "deployment.yaml": {&deployment}, "service.yaml": {&service}, "poddisruptionbudget.yaml": {&budget},
		"networkpolicy.yaml": {&network}, "secret.example.yaml": {&secret, &cert}, "migrate/job.yaml": {&job}, "migrate/networkpolicy.yaml": {&jobNetwork},
	} {
		documents := strings.Split(read(t, "kubernetes", path), "\n---\n")
		if len(documents) != len(into) {
			t.Fatalf("%s: got %d documents, want %d", path, len(documents), len(into))
		}
		for n, object := range into {
			if err := yaml.UnmarshalStrict([]byte(documents[n]), object); err != nil {
				t.Fatalf("%s: %v", path, err)
			}
			if got, want := kindOf(object), reflect.TypeOf(object).Elem().Name(); got != want {
				t.Errorf("%s: got kind %s, want %s", path, got, want)
			}
		}
	}

	pod := deployment.Spec.Template
	for name, selector := range map[string]*metav1.LabelSelector{
		"the Deployment": deployment.Spec.Selector, "the PodDisruptionBudget": budget.Spec.Selector, "the NetworkPolicy": &network.Spec.PodSelector,
		"the Service": {MatchLabels: service.Spec.Selector},
	} {
		if s, err := metav1.LabelSelectorAsSelector(selector); err != nil || s.Empty() || !s.Matches(labels.Set(pod.Labels)) {
			t.Errorf("%s does not select the servers: %v, %v", name, selector, err)
		}
	}
	if s, err := metav1.LabelSelectorAsSelector(&jobNetwork.Spec.PodSelector); err != nil || s.Empty() || !s.Matches(labels.Set(job.Spec.Template.Labels)) {
		t.Errorf("the Job's NetworkPolicy selects %v, %v", s, err)
	}
	if s := labels.SelectorFromSet(service.Spec.Selector); s.Matches(labels.Set(job.Spec.Template.Labels)) {
		t.Error("the Service selects the Job")
	}
	wantConfined(t, "the Deployment", pod.Spec)
	wantConfined(t, "the Job", job.Spec.Template.Spec)

	container := pod.Spec.Containers[0]
	ports := map[string]int32{}
	for _, port := range container.Ports {
		ports[port.Name] = port.ContainerPort
	}
	if got, want := config.Data["AUTH_SERVER_PORT"], "8000"; got != want || ports["https"] != 8000 {
		t.Errorf("serves at %s, and the container's port is %d", got, ports["https"])
	}
	if got := config.Data["AUTH_METRICS_ADDRESS"]; got != "0.0.0.0:9002" || ports["metrics"] != 9002 {
		t.Errorf("metrics are at %s, and the container's port is %d", got, ports["metrics"])
	}
	for _, probe := range []*corev1.Probe{container.StartupProbe, container.LivenessProbe, container.ReadinessProbe} {
		if _, there := ports[probe.HTTPGet.Port.String()]; !there || probe.HTTPGet.Scheme != corev1.URISchemeHTTPS {
			t.Errorf("a probe asks %v", probe.HTTPGet)
		}
	}
	for _, port := range service.Spec.Ports {
		if _, there := ports[port.TargetPort.String()]; !there {
			t.Errorf("the Service passes on to %v", port)
		}
	}
	for _, rule := range network.Spec.Ingress {
		for _, port := range rule.Ports {
			if _, there := ports[port.Port.String()]; !there {
				t.Errorf("the NetworkPolicy lets in to %v", port)
			}
		}
	}
	if !reflect.DeepEqual(network.Spec.Egress, jobNetwork.Spec.Egress) {
		t.Error("the Job may reach others than the servers")
	}
	for file, directory := range map[string]string{"AUTH_TLS_CERT_FILE": "tls.crt", "AUTH_TLS_KEY_FILE": "tls.key"} {
		if _, there := cert.StringData[directory]; !there || config.Data[file] != container.VolumeMounts[0].MountPath+"/"+directory {
			t.Errorf("%s is %s", file, config.Data[file])
		}
	}
	if pod.Spec.Volumes[0].Secret.SecretName != cert.Name {
		t.Errorf("the certificate is in %s, want %s", pod.Spec.Volumes[0].Secret.SecretName, cert.Name)
	}
	for _, from := range container.EnvFrom {
		if from.SecretRef != nil && from.SecretRef.Name != secret.Name || from.ConfigMapRef != nil && from.ConfigMapRef.Name != config.Name {
			t.Errorf("settings are taken from %v", from)
		}
	}
	if from := job.Spec.Template.Spec.Containers[0].Env[0].ValueFrom.SecretKeyRef; from.Name != secret.Name || secret.StringData[from.Key] != "" {
		t.Errorf("the Job takes its database from %v", from)
	}
	for name, value := range secret.StringData {
		if value != "" {
			t.Errorf("the example of a secret has a value for %s", name)
		}
	}

	delay := duration(t, config.Data["AUTH_SHUTDOWN_DELAY"])
	if got, want := time.Duration(*pod.Spec.TerminationGracePeriodSeconds)*time.Second, 2*delay+drain; got < want {
		t.Errorf("a Pod is killed after %s, want %s or more", got, want)
	}
	// AUTH_MAX_STALENESS is 30 s.
	if got := time.Duration(container.ReadinessProbe.PeriodSeconds*container.ReadinessProbe.FailureThreshold) * time.Second; got <= 30*time.Second {
		t.Errorf("Pods leave the Service %s after the database, while they still decide", got)
	}
	if rolling := deployment.Spec.Strategy.RollingUpdate; rolling.MaxUnavailable.IntValue() != 0 || rolling.MaxSurge.IntValue() != 1 {
		t.Errorf("the rollout is %v", rolling)
	}
	wantMemoryBelow(t, "the Deployment", container.Env[0].Value, container.Resources.Limits.Memory().Value())
}

func kindOf(object any) string {
	return reflect.ValueOf(object).Elem().FieldByName("Kind").String()
}

func wantConfined(t *testing.T, what string, pod corev1.PodSpec) {
	t.Helper()
	if pod.AutomountServiceAccountToken == nil || *pod.AutomountServiceAccountToken || pod.EnableServiceLinks == nil || *pod.EnableServiceLinks {
		t.Errorf("%s is given a token or the Services' variables", what)
	}
	if c := pod.SecurityContext; c == nil || !*c.RunAsNonRoot || *c.RunAsUser != 65532 || c.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault {
		t.Errorf("%s: its Pods run as %v", what, c)
	}
	for _, container := range pod.Containers {
		c := container.SecurityContext
		if c == nil || *c.AllowPrivilegeEscalation || !*c.ReadOnlyRootFilesystem || !slices.Equal(c.Capabilities.Drop, []corev1.Capability{"ALL"}) {
			t.Errorf("%s: its containers run with %v", what, c)
		}
		if container.Resources.Limits.Memory().IsZero() || container.Resources.Requests.Cpu().IsZero() {
			t.Errorf("%s: its containers have the resources %v", what, container.Resources)
		}
	}
}

func TestKustomizationsNameWhatIsThere(t *testing.T) {
	t.Parallel()
	var newest []string
	for folder, want := range map[string][]string{
		".":       {"configmap.yaml", "deployment.yaml", "networkpolicy.yaml", "poddisruptionbudget.yaml", "service.yaml"},
		"migrate": {"job.yaml", "networkpolicy.yaml"},
	} {
		var kustomization struct {
			APIVersion, Kind, Namespace string
			Labels                      []any
			Resources                   []string
			Images                      []struct{ Name, NewName, NewTag string }
		}
		if err := yaml.UnmarshalStrict([]byte(read(t, "kubernetes", folder, "kustomization.yaml")), &kustomization); err != nil {
			t.Fatal(err)
		}
		if got := slices.Sorted(slices.Values(kustomization.Resources)); !slices.Equal(got, want) {
			t.Errorf("%s: got %v, want %v", folder, got, want)
		}
		if len(kustomization.Images) != 1 || kustomization.Images[0].Name != "gatehouse" {
			t.Fatalf("%s: got the images %v, want that of gatehouse", folder, kustomization.Images)
		}
		newest = append(newest, kustomization.Images[0].NewName+":"+kustomization.Images[0].NewTag)
	}
	if newest[0] != newest[1] {
		t.Errorf("the Job and the servers have different images: %v", newest)
	}
}

// TestUnit asks systemd, where it is, whether it takes the unit and how exposed it is.
func TestUnit(t *testing.T) {
	t.Parallel()
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		const missing = "there is no systemd-analyze on this machine: apt-get install systemd"
		if os.Getenv("GATEHOUSE_TEST_REQUIRE_PROGRAMS") == "true" {
			t.Fatal(missing)
		}
		t.Skip(missing)
	}
	program := filepath.Join(t.TempDir(), "gatehouse")
	if err := os.WriteFile(program, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	unit := filepath.Join(t.TempDir(), "gatehouse.service")
	content := strings.Replace(read(t, "systemd", "gatehouse.service"), "/usr/local/bin/gatehouse", program, 2)
	if err := os.WriteFile(unit, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	// The manual pages that the unit names are not looked for.
	if out, err := exec.Command(analyze, "verify", "--man=no", unit).CombinedOutput(); err != nil || len(bytes.TrimSpace(out)) > 0 {
		t.Errorf("verify: %v: %s", err, out)
	}
	// In tenths; 1.1 in systemd 252.
	security := exec.Command(analyze, "security", "--offline=true", "--threshold=15", unit)
	security.Stdout = io.Discard
	if err := security.Run(); err != nil {
		t.Errorf("security: %v, want an exposure of 1.5 or less", err)
	}
	stop := duration(t, regexp.MustCompile(`(?m)^TimeoutStopSec=(.*)$`).FindStringSubmatch(content)[1])
	const delay = 10 * time.Second // more than any of the examples
	if stop < 2*delay+drain {
		t.Errorf("a server is killed after %s, want %s or more", stop, 2*delay+drain)
	}
}

func duration(t *testing.T, text string) time.Duration {
	t.Helper()
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// wantMemoryBelow checks that Go's own limit is below the hard one, in bytes.
func wantMemoryBelow(t *testing.T, what, limit string, hard int64) {
	t.Helper()
	var soft int64
	if unit, found := strings.CutSuffix(limit, "MiB"); found {
		for _, digit := range unit {
			soft = soft*10 + int64(digit-'0')
		}
		soft <<= 20
	}
	if soft == 0 || soft >= hard {
		t.Errorf("%s: GOMEMLIMIT is %q, want less than %d bytes", what, limit, hard)
	}
}
