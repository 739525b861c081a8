package main

import (
	"crypto/tls"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/internal/tlstest"
	"github.com/gatehouse/gatehouse/sdk"
)

func TestServeOverTLS(t *testing.T) {
	t.Parallel()
	i := install(t, "AUTH_TLS_CERT_FILE=cert.pem", "AUTH_TLS_KEY_FILE=~/key.pem", "AUTH_EXT_AUTHZ_ADDRESS=127.0.0.1:0")
	trusting := &tls.Config{RootCAs: tlstest.Write(t, filepath.Join(i.dir, "cert.pem"), filepath.Join(i.dir, "key.pem"))}
	server := i.serve()
	line, err := server.stdout.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	at, err := url.Parse(server.url)
	if err != nil || at.Scheme != "https" {
		t.Fatalf("serves at %q, %v, want https", server.url, err)
	}
	const key = "0d2b7a4c-51f3-4a86-9a0b-3c1e5d7f9b21"
	client, err := sdk.New(server.url, key, sdk.WithHTTPClient(&http.Client{Transport: &http.Transport{TLSClientConfig: trusting}}))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.AddRole(t.Context(), "editor", authz.RoleOptions{}); err != nil {
		t.Errorf("the SDK: %v", err)
	}
	here := installation{t, i.dir, append(i.environ, "AUTH_SERVER_PORT="+at.Port())}
	if got, want := here.must("health"), "healthy\n"; got != want {
		t.Errorf("health: %q, want %q", got, want)
	}
	stranger := here.fed(key, "check", "alice", "read", "--server", server.url)
	if stranger.code != exitFailure || stranger.stdout != "" || !strings.Contains(stranger.stderr, "certificate") {
		t.Errorf("without trust in the certificate: %+v, want a failure", stranger)
	}
	connection, err := grpc.NewClient(strings.TrimPrefix(strings.TrimSpace(line), "ext_authz "), grpc.WithTransportCredentials(credentials.NewTLS(trusting)))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = connection.Close() }()
	answer, err := authv3.NewAuthorizationClient(connection).Check(t.Context(), &authv3.CheckRequest{})
	if err != nil || answer.GetDeniedResponse().GetStatus().GetCode() != http.StatusUnauthorized {
		t.Errorf("Envoy: got %v, %v, want a denial with 401", answer, err)
	}
	if ended := server.stop(); ended.code != exitSuccess {
		t.Errorf("the server ended with %+v, want success", ended)
	}
}

func TestServeRefusesCertificatesThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	const variables = "AUTH_TLS_CERT_FILE and AUTH_TLS_KEY_FILE: "
	i := install(t, "AUTH_SERVER_PORT=0", "AUTH_TLS_CERT_FILE=cert.pem", "AUTH_TLS_KEY_FILE=key.pem")
	i.fails(exitUsage, variables, "serve")
	for _, name := range []string{"cert.pem", "key.pem"} {
		if err := os.WriteFile(filepath.Join(i.dir, name), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	i.fails(exitUsage, variables, "serve")
	if _, err := os.Stat(filepath.Join(i.dir, ".auth.sqlite3")); !os.IsNotExist(err) {
		t.Errorf("the database was made: %v", err)
	}
}

func TestServeRefusesPlainHTTPBeyondLoopback(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		environ []string
		refused string // what the refusal begins with; empty where there is none
	}{
		"every address":               {[]string{"AUTH_SERVER_HOST=0.0.0.0"}, "AUTH_SERVER_HOST: plain HTTP on 0.0.0.0 "},
		"every address of IPv6":       {[]string{"AUTH_SERVER_HOST=::"}, "AUTH_SERVER_HOST: plain HTTP on :: "},
		"a name":                      {[]string{"AUTH_SERVER_HOST=gatehouse.example"}, "AUTH_SERVER_HOST: plain HTTP on gatehouse.example "},
		"Envoy's":                     {[]string{"AUTH_EXT_AUTHZ_ADDRESS=[::]:9001"}, "AUTH_EXT_AUTHZ_ADDRESS: plain gRPC on [::]:9001 "},
		"loopback":                    {[]string{"AUTH_SERVER_HOST=127.0.0.2", "AUTH_EXT_AUTHZ_ADDRESS=[::1]:9001"}, ""},
		"localhost":                   {[]string{"AUTH_SERVER_HOST=localhost", "AUTH_EXT_AUTHZ_ADDRESS=localhost:9001"}, ""},
		"a proxy speaks TLS":          {[]string{"AUTH_SERVER_HOST=0.0.0.0", "AUTH_EXT_AUTHZ_ADDRESS=0.0.0.0:9001", "AUTH_TLS_TERMINATED_UPSTREAM=true"}, ""},
		"the server itself does":      {[]string{"AUTH_SERVER_HOST=::", "AUTH_EXT_AUTHZ_ADDRESS=[::]:9001", "AUTH_TLS_CERT_FILE=a", "AUTH_TLS_KEY_FILE=b"}, ""},
		"it is said that none does":   {[]string{"AUTH_SERVER_HOST=::", "AUTH_TLS_TERMINATED_UPSTREAM=false"}, "AUTH_SERVER_HOST: plain HTTP on :: "},
		"the other is loopback alone": {[]string{"AUTH_SERVER_HOST=::", "AUTH_EXT_AUTHZ_ADDRESS=127.0.0.1:9001"}, "AUTH_SERVER_HOST: "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := load(t, "", test.environ...).checkPlain()
			if test.refused == "" {
				if err != nil {
					t.Errorf("got %v, want it served", err)
				}
				return
			}
			if err == nil || !strings.HasPrefix(err.Error(), test.refused) {
				t.Errorf("got %v, want %q", err, test.refused)
			}
			i := install(t, test.environ...)
			i.fails(exitUsage, test.refused, "serve")
			i.must("client", "list") // which listens nowhere
		})
	}
}

func TestServeWhereAProxySpeaksTLS(t *testing.T) {
	t.Parallel()
	server := install(t, "AUTH_SERVER_HOST=0.0.0.0", "AUTH_TLS_TERMINATED_UPSTREAM=true").serve()
	defer server.stop()
	if got, want := get(t, server.url+"/ping"), `{"message":"PONG"}`; got != want {
		t.Errorf("/ping: %q, want %q", got, want)
	}
}

func TestLimitsTakeEffect(t *testing.T) {
	t.Parallel()
	server := install(t, "AUTH_RATE_LIMIT=1", "AUTH_AUTH_FAILURE_LIMIT=1").serve()
	defer server.stop()
	for _, test := range []struct{ key, policy string }{
		{"0d2b7a4c-51f3-4a86-9a0b-3c1e5d7f9b21", `"key";q=1;w=1`},
		{"wrong", `"auth-failures";q=1;w=60`},
	} {
		told := ""
		for range 10 {
			request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.url+"/api/roles", nil)
			if err != nil {
				t.Fatal(err)
			}
			request.Header.Set("Authorization", "Bearer "+test.key)
			response, err := http.DefaultClient.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			_ = response.Body.Close()
			if response.StatusCode == http.StatusTooManyRequests {
				told = response.Header.Get("RateLimit-Policy")
			}
		}
		if told != test.policy {
			t.Errorf("%s: told %q, want %q", test.key, told, test.policy)
		}
	}
}
