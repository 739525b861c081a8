package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/sdk"
)

// running is a server that gatehouse serve runs.
type running struct {
	url string
	// stdout is what follows on standard output.
	stdout *bufio.Reader
	// stop ends the server and returns how its command ended; standard output is
	// without what was read.
	stop func() result
}

// serve starts gatehouse serve on a port left to chance.
func (i installation) serve() running {
	i.t.Helper()
	ctx, cancel := context.WithCancel(i.t.Context())
	var rest, stderr bytes.Buffer
	reader, writer := io.Pipe()
	ended := make(chan int, 1)
	go func() {
		code := run(ctx, []string{"serve"}, append(i.environ, "AUTH_SERVER_PORT=0"), i.dir, strings.NewReader(""), writer, &stderr)
		_ = writer.Close()
		ended <- code
	}()
	lines := bufio.NewReader(reader)
	address, err := lines.ReadString('\n')
	if err != nil {
		<-ended
		i.t.Fatalf("no address on standard output: %v; standard error: %s", err, &stderr)
	}
	stop := func() result {
		cancel()
		_, _ = io.Copy(&rest, lines)
		return result{<-ended, rest.String(), stderr.String()}
	}
	return running{url: strings.TrimSpace(address), stdout: lines, stop: stop}
}

func TestServe(t *testing.T) {
	t.Parallel()
	i := install(t, "AUTH_POSTGRESQL_REPLICA_URLS=postgres://replica.example/db")
	server := i.serve()
	if got, want := get(t, server.url+"/ping"), `{"message":"PONG"}`; got != want {
		t.Errorf("/ping: %q, want %q", got, want)
	}
	at, err := url.Parse(server.url)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := at.Hostname(), "127.0.0.1"; got != want {
		t.Errorf("serves on %q, want %q", got, want)
	}
	here := installation{t, i.dir, append(i.environ, "AUTH_SERVER_PORT="+at.Port())}
	if got, want := here.must("health"), "healthy\n"; got != want {
		t.Errorf("health: %q, want %q", got, want)
	}
	if got, want := here.must("health", "--live"), "ok\n"; got != want {
		t.Errorf("health --live: %q, want %q", got, want)
	}

	ended := server.stop()
	if ended.code != exitSuccess || ended.stdout != "" {
		t.Errorf("the server ended with %+v, want success and nothing more on standard output", ended)
	}
	here.fails(exitFailure, "asking the server: ", "health")

	var serving struct{ Address, Database, Registration, Version string }
	logged(t, ended.stderr, "serving", &serving)
	if got, want := serving.Address, at.Host; got != want {
		t.Errorf("the log has the address %q, want %q", got, want)
	}
	if serving.Database != "sqlite" || serving.Registration != "open" || serving.Version == "" {
		t.Errorf("the log has %+v, want sqlite, open and a version", serving)
	}
	var warning struct{ Level string }
	logged(t, ended.stderr, "AUTH_POSTGRESQL_REPLICA_URLS is not used: the database is an SQLite file", &warning)
	if got, want := warning.Level, "WARN"; got != want {
		t.Errorf("logged at %q, want %q", got, want)
	}
}

func TestServeSeesKeysOfTheCommandLine(t *testing.T) {
	t.Parallel()
	i := install(t, "AUTH_CLIENT_REGISTRATION=closed")
	server := i.serve()
	defer server.stop()
	for key, want := range map[string]int{
		strings.TrimSpace(i.must("client", "create")): http.StatusOK,
		"9c1afeb7-cf78-4c09-a980-aa9dabed833f":        http.StatusUnauthorized,
	} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.url+"/api/roles", nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Authorization", "Bearer "+key)
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		if got := response.StatusCode; got != want {
			t.Errorf("%s: status %d, want %d", key, got, want)
		}
	}
}

func TestAuthZENClientsAreToldTheSettings(t *testing.T) {
	t.Parallel()
	plain := install(t).serve()
	defer plain.stop()
	if got, want := get(t, plain.url+"/.well-known/authzen-configuration"), `"policy_decision_point":"`+plain.url+`"`; !strings.Contains(got, want) {
		t.Errorf("without AUTH_PUBLIC_URL: %q, want %q in it", got, want)
	}
	public := install(t, "AUTH_PUBLIC_URL=https://auth.example.com/gate/", "AUTH_AUTHZEN_SUBJECT_TYPES=identity").serve()
	defer public.stop()
	if got, want := get(t, public.url+"/.well-known/authzen-configuration"), `"https://auth.example.com/gate/access/v1/evaluation"`; !strings.Contains(got, want) {
		t.Errorf("with AUTH_PUBLIC_URL: %q, want %q in it", got, want)
	}

	const key = "0d2b7a4c-51f3-4a86-9a0b-3c1e5d7f9b21"
	everybodyMayRead(t, public.url, key)
	for subject, want := range map[string]string{"identity": `"decision":true`, "user": `"decision":false`} {
		question := `{"subject":{"type":"` + subject + `","id":"alice"},"action":{"name":"read"},"resource":{"type":"post","id":"7"}}`
		if got := post(t, public.url+"/access/v1/evaluation", key, question); !strings.Contains(got, want) {
			t.Errorf("a subject of type %s: %q, want %q in it", subject, got, want)
		}
	}
}

func everybodyMayRead(t *testing.T, address, key string) {
	t.Helper()
	client, err := sdk.New(address, key)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.AddPermission(t.Context(), authz.Everyone, "read"); err != nil {
		t.Fatal(err)
	}
}

// post returns the body of the answer to a JSON request.
func post(t *testing.T, address, key, body string) string {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, address, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+key)
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(answer)
}

func TestServeAnswersEnvoy(t *testing.T) {
	t.Parallel()
	server := install(t, "AUTH_EXT_AUTHZ_ADDRESS=127.0.0.1:0").serve()
	line, err := server.stdout.ReadString('\n')
	address, found := strings.CutPrefix(strings.TrimSpace(line), "ext_authz ")
	if err != nil || !found {
		t.Fatalf("got %q, %v, want the address for Envoy", line, err)
	}
	connection, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = connection.Close() }()
	answer, err := authv3.NewAuthorizationClient(connection).Check(t.Context(), &authv3.CheckRequest{})
	if err != nil || answer.GetDeniedResponse().GetStatus().GetCode() != http.StatusUnauthorized {
		t.Errorf("got %v, %v, want a denial with 401", answer, err)
	}
	ended := server.stop()
	if ended.code != exitSuccess {
		t.Errorf("the server ended with %+v, want success", ended)
	}
	var serving struct{ Address string }
	logged(t, ended.stderr, "serving ext_authz", &serving)
	if serving.Address != address {
		t.Errorf("the log has the address %q, want %q", serving.Address, address)
	}
	if _, err := authv3.NewAuthorizationClient(connection).Check(t.Context(), &authv3.CheckRequest{}); status.Code(err) != codes.Unavailable {
		t.Errorf("after the end: got %v, want it unavailable", err)
	}
}

func TestServeShowsMetricsWhileItLingers(t *testing.T) {
	t.Parallel()
	server := install(t, "AUTH_METRICS_ADDRESS=127.0.0.1:0", "AUTH_SHUTDOWN_DELAY=2s").serve()
	line, err := server.stdout.ReadString('\n')
	address, found := strings.CutPrefix(strings.TrimSpace(line), "metrics ")
	if err != nil || !found {
		t.Fatalf("got %q, %v, want the address for Prometheus", line, err)
	}
	ended := make(chan result, 1)
	go func() { ended <- server.stop() }()
	for strings.Contains(get(t, server.url+"/readyz"), `"ok"`) {
	}
	if got := get(t, "http://"+address+"/metrics"); !strings.Contains(got, "gatehouse_build_info") {
		t.Errorf("/metrics while the server lingers: %q", got)
	}
	if ended := <-ended; ended.code != exitSuccess {
		t.Errorf("the server ended with %+v, want success", ended)
	}
}

func TestServeShowsMetricsWhereTold(t *testing.T) {
	t.Parallel()
	const logged = "gatehouse_decisions_logged_total 0"
	here := install(t).serve()
	defer here.stop()
	if got := get(t, here.url+"/metrics"); !strings.Contains(got, logged) || !strings.Contains(got, `version="`+buildVersion()+`"`) {
		t.Errorf("/metrics: %q, want %q and the version in it", got, logged)
	}
	elsewhere := install(t, "AUTH_METRICS_ADDRESS=127.0.0.1:0").serve()
	line, err := elsewhere.stdout.ReadString('\n')
	address, found := strings.CutPrefix(strings.TrimSpace(line), "metrics ")
	if err != nil || !found {
		t.Fatalf("got %q, %v, want the address for Prometheus", line, err)
	}
	if got := get(t, "http://"+address+"/metrics"); !strings.Contains(got, logged) {
		t.Errorf("/metrics elsewhere: %q, want %q in it", got, logged)
	}
	if got := get(t, elsewhere.url+"/metrics"); !strings.Contains(got, `"code":404`) {
		t.Errorf("/metrics beside the API: %q, want a 404", got)
	}
	// Profiles are for this machine, and never on the API's address.
	if got := get(t, "http://"+address+"/debug/pprof/goroutine?debug=1"); !strings.HasPrefix(got, "goroutine profile: ") {
		t.Errorf("/debug/pprof/ beside the metrics: %q, want a profile", got)
	}
	for _, url := range []string{here.url, elsewhere.url} {
		if got := get(t, url+"/debug/pprof/"); !strings.Contains(got, `"code":404`) {
			t.Errorf("/debug/pprof/ beside the API: %q, want a 404", got)
		}
	}
	if got := get(t, "http://"+address+"/ping"); got != "404 page not found" {
		t.Errorf("/ping beside the metrics: %q, want a 404", got)
	}
	if ended := elsewhere.stop(); ended.code != exitSuccess {
		t.Errorf("the server ended with %+v, want success", ended)
	}
	if _, err := http.Get("http://" + address + "/metrics"); err == nil {
		t.Error("after the end: got an answer, want none")
	}
}

func TestServeLogsDecisions(t *testing.T) {
	t.Parallel()
	const key = "0d2b7a4c-51f3-4a86-9a0b-3c1e5d7f9b21"
	for which, want := range map[string]int{"off": 0, "denied": 1, "all": 2} {
		t.Run(which, func(t *testing.T) {
			t.Parallel()
			server := install(t, "AUTH_AUDIT_DECISIONS="+which).serve()
			defer server.stop()
			everybodyMayRead(t, server.url, key)
			client, err := sdk.New(server.url, key)
			if err != nil {
				t.Fatal(err)
			}
			for _, permission := range []string{"read", "write"} {
				if _, err := client.UserHasPermission(t.Context(), "alice", permission); err != nil {
					t.Fatal(err)
				}
			}
			got, err := client.LoggedDecisions(t.Context(), authz.DecisionFilter{}, authz.Page{})
			if err != nil || len(got.Items) != want {
				t.Errorf("got %+v, %v, want %d decisions", got.Items, err, want)
			}
		})
	}
}

func TestServeFailsOnATakenPort(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	_, port, err := net.SplitHostPort(taken.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	install(t, "AUTH_SERVER_PORT="+port).fails(exitFailure, "listening on AUTH_SERVER_HOST and AUTH_SERVER_PORT: ", "serve")
	for _, variable := range []string{"AUTH_EXT_AUTHZ_ADDRESS", "AUTH_METRICS_ADDRESS"} {
		install(t, "AUTH_SERVER_PORT=0", variable+"=127.0.0.1:"+port).fails(exitFailure, "listening on "+variable+": ", "serve")
	}
}

func TestHealthFails(t *testing.T) {
	t.Parallel()
	install(t, "AUTH_SERVER_PORT=0").fails(exitUsage, "AUTH_SERVER_PORT: is 0", "health")
	for name, test := range map[string]struct {
		status     int
		body, want string
	}{
		"the database is away": {http.StatusServiceUnavailable, `{"status":"unhealthy"}`, "/health answers 503 unhealthy"},
		"another server":       {http.StatusOK, "<html>", "/health answers what no Gatehouse does: "},
		"another service":      {http.StatusOK, `{}`, "/health answers what no Gatehouse does: "},
		"no such page":         {http.StatusNotFound, "", "/health answers 404"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			port := answering(t, func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(test.status)
				_, _ = io.WriteString(w, test.body)
			})
			install(t, "AUTH_SERVER_PORT="+port).fails(exitFailure, test.want, "health")
		})
	}
	t.Run("no answer in time", func(t *testing.T) {
		t.Parallel()
		port := answering(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
		install(t, "AUTH_SERVER_PORT="+port).fails(exitFailure, "deadline exceeded", "health", "--timeout", "10ms")
	})
}

func TestLocalURL(t *testing.T) {
	t.Parallel()
	for host, want := range map[string]string{
		"0.0.0.0": "http://127.0.0.1:80", "::": "http://[::1]:80", "::1": "http://[::1]:80",
		"192.0.2.1": "http://192.0.2.1:80", "gatehouse.example": "http://gatehouse.example:80", "fe80::1%eth0": "http://[fe80::1%25eth0]:80",
	} {
		if got := load(t, "", "AUTH_SERVER_HOST="+host).localURL("80"); got != want {
			t.Errorf("%s: %q, want %q", host, got, want)
		}
	}
	if got, want := load(t, "", "AUTH_TLS_CERT_FILE=a", "AUTH_TLS_KEY_FILE=b").localURL("443"), "https://127.0.0.1:443"; got != want {
		t.Errorf("with TLS: %q, want %q", got, want)
	}
}

func TestWelcomeNamesAddressAndKey(t *testing.T) {
	t.Parallel()
	for registration, key := range map[string]string{
		registrationOpen: "KEY=$(uuidgen)\n", registrationClosed: "KEY=$(gatehouse client create)\n",
	} {
		got := welcome("http://127.0.0.1:8000", registration)
		for _, want := range []string{key, "http://127.0.0.1:8000/api/role/admin"} {
			if !strings.Contains(got, want) {
				t.Errorf("%s: got %q, want %q in it", registration, got, want)
			}
		}
	}
}

func get(t *testing.T, address string) string {
	t.Helper()
	response, err := http.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(body))
}

// answering serves handler on this machine and returns the port.
func answering(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: handler}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() })
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// logged reads the log line with a message into fields.
func logged(t *testing.T, log, message string, fields any) {
	t.Helper()
	for line := range strings.Lines(log) {
		var entry struct{ Msg string }
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			t.Fatalf("%q in the log: %v", line, err)
		}
		if entry.Msg != message {
			continue
		}
		if err := json.Unmarshal([]byte(line), fields); err != nil {
			t.Fatalf("%q in the log: %v", line, err)
		}
		return
	}
	t.Errorf("the log is %q, want %q in it", log, message)
}

func TestSettingsTakeEffect(t *testing.T) {
	t.Parallel()
	const page, forwarded = "https://app.example.com", "203.0.113.9"
	for name, test := range map[string]struct {
		environ []string
		// allowed is the origin that the answer allows.
		allowed string
		// client is the address that the change is audited with.
		client  string
		audited bool
	}{
		"by default":         {allowed: "*", client: "127.0.0.1", audited: true},
		"no CORS":            {environ: []string{"AUTH_ALLOW_CORS=false"}, client: "127.0.0.1", audited: true},
		"its origin":         {environ: []string{"AUTH_CORS_ORIGINS=" + page}, allowed: page, client: "127.0.0.1", audited: true},
		"another origin":     {environ: []string{"AUTH_CORS_ORIGINS=https://other.example.com"}, client: "127.0.0.1", audited: true},
		"no audit":           {environ: []string{"AUTH_ENABLE_AUDIT_LOGGING=false"}, allowed: "*"},
		"a trusted proxy":    {environ: []string{"AUTH_TRUSTED_PROXIES=127.0.0.0/8"}, allowed: "*", client: forwarded, audited: true},
		"another is trusted": {environ: []string{"AUTH_TRUSTED_PROXIES=192.0.2.1"}, allowed: "*", client: "127.0.0.1", audited: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			i := install(t, test.environ...)
			server := i.serve()
			defer server.stop()
			key := strings.TrimSpace(i.must("client", "create"))
			call := func(method, path string) (http.Header, string) {
				request, err := http.NewRequestWithContext(t.Context(), method, server.url+path, nil)
				if err != nil {
					t.Fatal(err)
				}
				request.Header.Set("Authorization", "Bearer "+key)
				request.Header.Set("Origin", page)
				request.Header.Set("X-Forwarded-For", forwarded)
				response, err := http.DefaultClient.Do(request)
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = response.Body.Close() }()
				body, err := io.ReadAll(response.Body)
				if err != nil {
					t.Fatal(err)
				}
				return response.Header, string(body)
			}
			header, _ := call(http.MethodPost, "/api/role/editor")
			if got, want := header.Get("Access-Control-Allow-Origin"), test.allowed; got != want {
				t.Errorf("allows the origin %q, want %q", got, want)
			}
			_, trail := call(http.MethodGet, "/api/audit?action=ROLE_CREATED")
			if got, want := strings.Contains(trail, "role/editor"), test.audited; got != want {
				t.Errorf("audited: %t, want %t: %s", got, want, trail)
			}
			if want := `"ip":"` + test.client + `"`; test.audited && !strings.Contains(trail, want) {
				t.Errorf("audited %s, want %s", trail, want)
			}
		})
	}
}
