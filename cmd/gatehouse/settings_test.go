package main

import (
	"errors"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// marker stands in every value below that must never be shown.
const marker = "hunter-two"

// samples are values of every variable that are taken, and that are not. Some are only
// taken with others.
var samples = map[string]struct{ good, bad, with []string }{
	"AUTH_DATABASE_TYPE": {
		good: []string{"sqlite"},
		bad:  []string{"mysql", "SQLite", "sqlite,postgresql"},
	},
	"AUTH_DATABASE_URL": {
		good: []string{"postgres://u:p@h:5432/db?sslmode=disable", "postgresql:///db", "sqlite:a.db", "sqlite:///a.db", "sqlite:////tmp/a.db"},
		bad: []string{"mysql://u:" + marker + "@h/db", "a.db", "postgres:x", "POSTGRES://u@h/db", "postgresql+psycopg2://u:" + marker + "@h/db",
			"host=h password=" + marker, "postgres://u:" + marker + "%zz@h/db", "sqlite:", "sqlite://" + marker, "sqlite::memory:"},
	},
	"AUTH_POSTGRESQL_URL": {
		good: []string{"postgres://u:p@h:5432/db", "postgresql://u:p@h1:5432,[::1]:5433/db?target_session_attrs=read-write"},
		bad:  []string{"sqlite:a.db", "http://u:" + marker + "@h/db", "postgres://u:" + marker + "%zz@h/db", "postgres://u:" + marker + "@h1:5432,h2:port/db"},
	},
	"AUTH_POSTGRESQL_LISTEN_URL": {
		good: []string{"postgres://u:p@h:5432/db"},
		bad:  []string{"sqlite:a.db", "postgres://u:" + marker + "%zz@h/db"},
	},
	"AUTH_SQLITE_PATH":  {good: []string{"a.db", "/tmp/a b.db", "~/a.db"}, bad: []string{"~", ":memory:", "//a.db"}},
	"AUTH_AUTO_MIGRATE": {good: []string{"true", "1", "False"}, bad: []string{"yes", "on", "2"}},
	"AUTH_POSTGRESQL_REPLICA_URLS": {
		good: []string{"postgres://a/db", "postgres://a/db, postgres://b/db"},
		bad:  []string{"postgres://a/db,", "postgres://a/db,http://u:" + marker + "@b/db"},
	},
	"AUTH_MAX_STALENESS": {good: []string{"0s", "0", "24h"}, bad: []string{"30", "-1s", "24h1s", "1d"}},
	"AUTH_CACHE_SIZE_MB": {good: []string{"1", "1048576"}, bad: []string{"0", "1048577", "256MB", "1.5"}},

	"AUTH_SERVER_HOST": {
		good: []string{"localhost", "0.0.0.0", "::", "[::1]", "gate-house.example.com"},
		bad:  []string{"127.0.0.1:80", "http://h", "a b", "h/", "*"},
	},
	"AUTH_SERVER_PORT":    {good: []string{"0", "65535"}, bad: []string{"-1", "65536", "http", "80 81", "0x50"}},
	"AUTH_SHUTDOWN_DELAY": {good: []string{"0s", "5m"}, bad: []string{"5", "-1s", "5m1s"}},
	"AUTH_PUBLIC_URL": {
		good: []string{"https://auth.example.com", "http://h:8000/prefix/"},
		bad:  []string{"auth.example.com", "ftp://h", "https://u:" + marker + "@h", "https://h?a=b", "https://h?", "https://h#", "https://"},
	},
	"AUTH_DEBUG_MODE": {good: []string{"true"}, bad: []string{"debug"}},
	"AUTH_ALLOW_CORS": {good: []string{"false"}, bad: []string{"*"}},
	"AUTH_CORS_ORIGINS": {
		good: []string{"*", "https://a.example", "https://a.example, http://localhost:3000"},
		bad:  []string{"a.example", "https://a.example/", "https://a.example,", "https://u@a.example", "null"},
	},
	"AUTH_FORWARD_TENANT": {good: []string{"8d969eef6ecad3c29a3a629280e686cf", "acme: notes"}, bad: []string{"a/\x01", "..", strings.Repeat("a", 257)}},
	"AUTH_TRUSTED_PROXIES": {
		good: []string{"10.0.0.1", "10.0.0.0/8,::1", "10.1.2.3/8, fd00::/8"},
		bad:  []string{"proxy.example.com", "10.0.0.0/33", "10.0.0.1,", "fe80::1%eth0"},
	},
	"AUTH_EXT_AUTHZ_ADDRESS": {
		good: []string{"127.0.0.1:9001", "[::1]:0", "envoy.internal:65535"},
		bad:  []string{"9001", ":9001", "127.0.0.1", "::1:9001", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:http", "a b:1", "http://h:1"},
	},
	"AUTH_METRICS_ADDRESS": {good: []string{"127.0.0.1:9002", "[::1]:0"}, bad: []string{"9002", ":9002", "http://h:1"}},

	"AUTH_TLS_CERT_FILE":           {good: []string{"/etc/cert.pem", "~/cert.pem"}, bad: []string{"~"}, with: []string{"AUTH_TLS_KEY_FILE=/etc/key.pem"}},
	"AUTH_TLS_KEY_FILE":            {good: []string{"/etc/key.pem", "~/key.pem"}, bad: []string{"~"}, with: []string{"AUTH_TLS_CERT_FILE=/etc/cert.pem"}},
	"AUTH_TLS_TERMINATED_UPSTREAM": {good: []string{"true"}, bad: []string{"nginx"}},

	"AUTH_CLIENT_REGISTRATION":     {good: []string{"open", "closed"}, bad: []string{"Open", "true"}},
	"AUTH_RATE_LIMIT":              {good: []string{"0", "1000000"}, bad: []string{"-1", "1000001", "10/s"}},
	"AUTH_MAX_CONCURRENT_REQUESTS": {good: []string{"1", "1000000"}, bad: []string{"0", "1000001", "many"}},
	"AUTH_MAX_CONNECTIONS":         {good: []string{"1", "1000000"}, bad: []string{"0", "1000001", "many"}},
	"AUTH_AUTH_FAILURE_LIMIT":      {good: []string{"0", "1000000"}, bad: []string{"-1", "1000001", "many"}},
	"AUTH_AUTHZEN_SUBJECT_TYPES":   {good: []string{"user", "user, identity"}, bad: []string{"user,,identity", ","}},

	"AUTH_JWT_SECRET_KEY":                  {good: []string{strings.Repeat("k", 32)}, bad: []string{marker}},
	"AUTH_JWT_ALGORITHM":                   {good: []string{"HS256", "RS256", "ES256", "EdDSA"}, bad: []string{"none", "HS512", "hs256"}},
	"AUTH_JWT_ACCESS_TOKEN_EXPIRE_MINUTES": {good: []string{"1", "525600"}, bad: []string{"0", "525601", "15m"}},
	"AUTH_JWT_REFRESH_TOKEN_EXPIRE_DAYS":   {good: []string{"1", "3650"}, bad: []string{"0", "3651", "7d"}},
	"AUTH_SESSION_OVERLAP":                 {good: []string{"0s", "10m"}, bad: []string{"-1s", "11m", "10"}},
	"AUTH_SESSION_LOST_WINDOW":             {good: []string{"0s", "24h"}, bad: []string{"-1s", "25h", "5"}, with: []string{"AUTH_SESSION_IDLE=48h"}},
	"AUTH_SESSION_ROTATE_AFTER":            {good: []string{"0s", "24h"}, bad: []string{"-1s", "25h", "1"}, with: []string{"AUTH_SESSION_IDLE=48h"}},
	"AUTH_SESSION_IDLE": {
		good: []string{"1s", "87600h"}, bad: []string{"0s", "87601h", "12"},
		with: []string{"AUTH_SESSION_OVERLAP=0s", "AUTH_SESSION_LOST_WINDOW=0s", "AUTH_SESSION_ABSOLUTE=87600h"},
	},
	"AUTH_SESSION_ABSOLUTE": {
		good: []string{"1s", "87600h"}, bad: []string{"0s", "87601h", "30d"},
		with: []string{"AUTH_SESSION_OVERLAP=0s", "AUTH_SESSION_LOST_WINDOW=0s", "AUTH_SESSION_IDLE=1s"},
	},
	"AUTH_SESSION_BINDING":          {good: []string{"strict", "standard", "off"}, bad: []string{"on"}},
	"AUTH_SESSION_MAX_PER_USER":     {good: []string{"0", "1000000"}, bad: []string{"-1", "1000001", "five"}},
	"AUTH_ENABLE_ENCRYPTION":        {good: []string{"false"}, bad: []string{"aes"}},
	"AUTH_ENCRYPTION_KEY":           {good: []string{"k", "a b#c$d"}},
	"AUTH_ENCRYPTION_PREVIOUS_KEYS": {good: []string{"k", "k,l"}, bad: []string{marker + ",,l"}},
	"AUTH_ENABLE_AUDIT_LOGGING":     {good: []string{"false"}, bad: []string{"no"}},
	"AUTH_AUDIT_DECISIONS":          {good: []string{"off", "denied", "all"}, bad: []string{"true"}},
	"AUTH_AUDIT_CHECKPOINT_FILE":    {good: []string{"/var/log/checkpoint"}, bad: []string{"~"}},

	"AUTH_AUDIT_DECISIONS_RETENTION": {good: []string{"0s", "720h", "876000h"}, bad: []string{"-1s", "876001h", "30d", "30"}},
}

func TestEveryVariable(t *testing.T) {
	t.Parallel()
	if got, want := slices.Sorted(maps.Keys(samples)), slices.Sorted(slices.Values(names())); !slices.Equal(got, want) {
		t.Fatalf("samples of %q, want them of %q", got, want)
	}
	standard := load(t, "")
	for name, values := range samples {
		for _, value := range values.good {
			t.Run(name+"="+value, func(t *testing.T) {
				t.Parallel()
				byEnvironment := load(t, "", append(values.with, name+"="+value)...)
				if byFile := load(t, name+"='"+value+"'\n", values.with...); !same(byFile, byEnvironment) {
					t.Errorf("from the file %+v, from the environment %+v", byFile, byEnvironment)
				}
				if !byEnvironment.present[name] {
					t.Error("not taken for present")
				}
			})
		}
		for _, value := range values.bad {
			t.Run(name+"="+value, func(t *testing.T) {
				t.Parallel()
				refused(t, "", []string{name + "=" + value}, name+": must be ")
				refused(t, name+"='"+value+"'\n", nil, name+" in .env: must be ")
			})
		}
		t.Run(name+" set to nothing", func(t *testing.T) {
			t.Parallel()
			if got := load(t, "", name+"="); !same(got, standard) {
				t.Errorf("got %+v, want the defaults %+v", got, standard)
			}
		})
	}
}

func TestDefaults(t *testing.T) {
	t.Parallel()
	s := load(t, "")
	for _, v := range variables {
		if v.standard == "" {
			continue
		}
		field := func(s settings) any { return reflect.ValueOf(s).FieldByIndex(v.field.Index).Interface() }
		if got, want := field(load(t, "", v.name+"="+v.standard)), field(s); !reflect.DeepEqual(got, want) {
			t.Errorf("%s=%s gives %v, and unset it is %v", v.name, v.standard, got, want)
		}
	}
	if got, want := s.database.path, "/home/somebody/.auth.sqlite3"; got != want {
		t.Errorf("the database is %q, want %q", got, want)
	}
	if got := s.warnings(); len(got) != 0 {
		t.Errorf("warnings %q, want none", got)
	}
}

func TestPrecedence(t *testing.T) {
	t.Parallel()
	const file = "# comment\nexport AUTH_SERVER_PORT=1\nAUTH_SERVER_HOST=file.example\nPOSTGRES_PASSWORD=x\n"
	for _, test := range []struct {
		name, host string
		environ    []string
	}{
		{name: "the file stands in for the environment", host: "file.example"},
		{name: "the environment wins", environ: []string{"AUTH_SERVER_HOST=real.example"}, host: "real.example"},
		{name: "an empty variable does not", environ: []string{"AUTH_SERVER_HOST="}, host: "file.example"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := load(t, file, test.environ...)
			if got, want := string(s.ServerHost), test.host; got != want {
				t.Errorf("host %q, want %q", got, want)
			}
			if got, want := s.ServerPort, 1; got != want {
				t.Errorf("port %d, want %d", got, want)
			}
		})
	}
}

func TestUnknownNamesAreRefused(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, want string }{
		{"AUTH_SERVER_PRT", "AUTH_SERVER_PRT: no such setting; did you mean AUTH_SERVER_PORT?"},
		{"AUTH_CORS_ORIGIN", "AUTH_CORS_ORIGIN: no such setting; did you mean AUTH_CORS_ORIGINS?"},
		{"AUTH_TOKEN", "AUTH_TOKEN: no such setting"},
		{"AUTH_", "AUTH_: no such setting"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			refused(t, "", []string{test.name + "=" + marker}, test.want)
			refused(t, test.name+"="+marker+"\n", nil, strings.Replace(test.want, ":", " in .env:", 1))
		})
	}
	t.Run("other programs' names are none of ours", func(t *testing.T) {
		t.Parallel()
		load(t, "OTHER=1\n", "OTHER_AUTH_TOKEN=1", "auth_token=1")
	})
}

func TestBrokenFileIsRefused(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ file, want string }{
		"no name":       {"AUTH_SERVER_PORT=1\n\n# note\n-" + marker + "=1\nAUTH_DEBUG_MODE=true\n", "line 4 "},
		"open quote":    {"AUTH_SERVER_PORT=1\nAUTH_JWT_SECRET_KEY=\"" + marker + "\nX=1\n", "line 2 "},
		"the only line": {"?" + marker, "line 1 "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			refused(t, test.file, nil, test.want)
		})
	}
	t.Run("a folder", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		if err := os.Mkdir(filepath.Join(dir, dotenv), 0o700); err != nil {
			t.Fatal(err)
		}
		if _, err := loadSettings(nil, dir); !isUsage(err) {
			t.Errorf("got %v, want a usage error", err)
		}
	})
}

func TestSettingsThatDoNotGoTogether(t *testing.T) {
	t.Parallel()
	refused(t, "", []string{"AUTH_DATABASE_TYPE=postgresql"}, "AUTH_POSTGRESQL_URL: must be set")
	refused(t, "", []string{"AUTH_ENABLE_ENCRYPTION=true"}, "AUTH_ENCRYPTION_KEY: must be set")
	refused(t, "", []string{"AUTH_TLS_CERT_FILE=a"}, "AUTH_TLS_KEY_FILE: must be set")
	refused(t, "", []string{"AUTH_TLS_KEY_FILE=a"}, "AUTH_TLS_CERT_FILE: must be set")
	refused(t, "", []string{"AUTH_JWT_SECRET_KEY=" + strings.Repeat(marker, 4), "AUTH_JWT_ALGORITHM=ES256"}, "AUTH_JWT_SECRET_KEY: is for HS256 alone")
	refused(t, "", []string{"AUTH_SESSION_ABSOLUTE=1h"}, "AUTH_SESSION_IDLE: must be at most AUTH_SESSION_ABSOLUTE, 1h0m0s")
	refused(t, "", []string{"AUTH_SESSION_IDLE=10s"}, "AUTH_SESSION_OVERLAP: must be below AUTH_SESSION_IDLE, 10s")
	refused(t, "", []string{"AUTH_SESSION_LOST_WINDOW=12h"}, "AUTH_SESSION_LOST_WINDOW: must be below AUTH_SESSION_IDLE, 12h0m0s")
	refused(t, "", []string{"AUTH_SESSION_ROTATE_AFTER=12h"}, "AUTH_SESSION_ROTATE_AFTER: must be at most half of AUTH_SESSION_IDLE, 12h0m0s")
	refused(t, "", []string{"HOME="}, "AUTH_SQLITE_PATH: begins with ~/, and HOME is not set")
	refused(t, "", []string{"AUTH_TLS_CERT_FILE=~/a", "AUTH_TLS_KEY_FILE=b", "AUTH_SQLITE_PATH=/c", "HOME="}, "AUTH_TLS_CERT_FILE: begins with ~/, and HOME is not set")
	load(t, "", "AUTH_TLS_CERT_FILE=a", "AUTH_TLS_KEY_FILE=b", "AUTH_ENABLE_ENCRYPTION=true", "AUTH_ENCRYPTION_KEY=k")
}

func TestDatabase(t *testing.T) {
	t.Parallel()
	const typed, address = "AUTH_DATABASE_TYPE=postgresql", "postgres://h/db"
	for name, test := range map[string]struct {
		environ        []string
		want, variable string
	}{
		"postgresql":                     {[]string{typed, "AUTH_POSTGRESQL_URL=" + address}, address, "AUTH_POSTGRESQL_URL"},
		"a URL overrides the type":       {[]string{typed, "AUTH_DATABASE_URL=sqlite:/x/y.db"}, "sqlite:/x/y.db", "AUTH_DATABASE_URL"},
		"a URL overrides the other URL":  {[]string{typed, "AUTH_POSTGRESQL_URL=postgres://other/db", "AUTH_DATABASE_URL=" + address}, address, "AUTH_DATABASE_URL"},
		"a URL overrides the path":       {[]string{"AUTH_SQLITE_PATH=/x.db", "AUTH_DATABASE_URL=" + address}, address, "AUTH_DATABASE_URL"},
		"an absolute path":               {[]string{"AUTH_SQLITE_PATH=/x/y.db"}, "sqlite:/x/y.db", "AUTH_SQLITE_PATH"},
		"a path in the home directory":   {[]string{"AUTH_SQLITE_PATH=~/y.db"}, "sqlite:/home/somebody/y.db", "AUTH_SQLITE_PATH"},
		"a relative path":                {[]string{"AUTH_SQLITE_PATH=y.db"}, "sqlite:DIR/y.db", "AUTH_SQLITE_PATH"},
		"three slashes make it relative": {[]string{"AUTH_DATABASE_URL=sqlite:///y.db"}, "sqlite:DIR/y.db", "AUTH_DATABASE_URL"},
		"four slashes make it absolute":  {[]string{"AUTH_DATABASE_URL=sqlite:////x/y.db"}, "sqlite:/x/y.db", "AUTH_DATABASE_URL"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			s, err := loadSettings(append(test.environ, "HOME=/home/somebody"), dir)
			if err != nil {
				t.Fatal(err)
			}
			if got, want := s.database.url, strings.Replace(test.want, "DIR", dir, 1); got != want {
				t.Errorf("database %q, want %q", got, want)
			}
			if got, want := s.database.variable, test.variable; got != want {
				t.Errorf("from %q, want %q", got, want)
			}
		})
	}
}

func TestRegistrationIsOpenOnLoopbackAlone(t *testing.T) {
	t.Parallel()
	for host, want := range map[string]bool{
		"127.0.0.1": true, "127.8.9.10": true, "::1": true, "[::1]": true, "localhost": true, "LocalHost": true, "::ffff:127.0.0.1": true,
		"0.0.0.0": false, "::": false, "192.0.2.1": false, "localhost.example.com": false, "gatehouse": false,
	} {
		if got := load(t, "", "AUTH_SERVER_HOST="+host).openRegistration(); got != want {
			t.Errorf("open on %s: %t, want %t", host, got, want)
		}
		for word, want := range map[string]bool{registrationOpen: true, registrationClosed: false} {
			if got := load(t, "", "AUTH_SERVER_HOST="+host, "AUTH_CLIENT_REGISTRATION="+word).openRegistration(); got != want {
				t.Errorf("%s on %s: %t, want %t", word, host, got, want)
			}
		}
	}
}

func TestListsAreReadWhole(t *testing.T) {
	t.Parallel()
	s := load(t, "", "AUTH_TRUSTED_PROXIES=10.1.2.3/8, ::1,::ffff:192.0.2.1", "AUTH_CORS_ORIGINS=https://a.example, https://b.example")
	var got []string
	for _, network := range s.TrustedProxies {
		got = append(got, network.String())
	}
	if want := []string{"10.0.0.0/8", "::1/128", "192.0.2.1/32"}; !slices.Equal(got, want) {
		t.Errorf("proxies %q, want %q", got, want)
	}
	if got, want := s.corsOrigins(), []string{"https://a.example", "https://b.example"}; !slices.Equal(got, want) {
		t.Errorf("origins %q, want %q", got, want)
	}
	if got := load(t, "", "AUTH_ALLOW_CORS=false").corsOrigins(); got != nil {
		t.Errorf("origins %q without CORS, want nil", got)
	}
}

func TestWarnings(t *testing.T) {
	t.Parallel()
	for _, v := range variables {
		for _, value := range samples[v.name].good {
			got := slices.ContainsFunc(load(t, "", append(samples[v.name].with, v.name+"="+value)...).warnings(), func(line string) bool {
				return strings.HasPrefix(line, v.name+" is not in use yet: ")
			})
			if want := v.later != ""; got != want {
				t.Errorf("%s is said to be not in use: %t, want %t", v.name, got, want)
			}
		}
	}
	for line, environ := range map[string][]string{
		"AUTH_TRUSTED_PROXIES is not set: all callers have the address of the proxy in front, and are limited together where one of them fails to authenticate": {
			"AUTH_TLS_TERMINATED_UPSTREAM=true",
		},
		"AUTH_POSTGRESQL_REPLICA_URLS is not used: the database is an SQLite file":                                  {"AUTH_POSTGRESQL_REPLICA_URLS=postgres://h/db"},
		"AUTH_POSTGRESQL_LISTEN_URL is not used: the database is an SQLite file":                                    {"AUTH_POSTGRESQL_LISTEN_URL=postgres://h/db"},
		"AUTH_POSTGRESQL_URL is not used: the database is that of AUTH_SQLITE_PATH":                                 {"AUTH_POSTGRESQL_URL=postgres://h/db"},
		"AUTH_CLIENT_REGISTRATION is open: whoever reaches the server can open a tenant":                            {"AUTH_CLIENT_REGISTRATION=open", "AUTH_SERVER_HOST=::"},
		"AUTH_METRICS_ADDRESS is beyond loopback: whoever reaches it can read the metrics, so keep the public away": {"AUTH_METRICS_ADDRESS=0.0.0.0:9002"},
		"AUTH_FORWARD_TENANT is not set: a proxy that names no tenant lets in the users of whichever tenant, those that anybody can open too": {
			"AUTH_CLIENT_REGISTRATION=open", "AUTH_SERVER_HOST=::",
		},
	} {
		if got := load(t, "", environ...).warnings(); !slices.Contains(got, line) {
			t.Errorf("%q: warnings %q, want %q among them", environ, got, line)
		}
	}
	// Where nobody else can open a tenant, or a proxy is held to one, there is no need.
	for _, environ := range [][]string{
		{"AUTH_SERVER_HOST=::"}, {"AUTH_CLIENT_REGISTRATION=open"}, {"AUTH_CLIENT_REGISTRATION=open", "AUTH_SERVER_HOST=::", "AUTH_FORWARD_TENANT=acme"},
	} {
		for _, line := range load(t, "", environ...).warnings() {
			if strings.HasPrefix(line, "AUTH_FORWARD_TENANT") {
				t.Errorf("%q: warned of %q", environ, line)
			}
		}
	}
}

// load reads settings that must be taken, from a file of that content and environ.
func load(t *testing.T, file string, environ ...string) settings {
	t.Helper()
	s, err := tryLoad(t, file, environ)
	if err != nil {
		t.Fatalf("%q with the file %q: %v", environ, file, err)
	}
	return s
}

// refused reads settings that must not be taken, for a reason that holds want.
func refused(t *testing.T, file string, environ []string, want string) {
	t.Helper()
	_, err := tryLoad(t, file, environ)
	if !isUsage(err) {
		t.Fatalf("%q with the file %q: got %v, want a usage error", environ, file, err)
	}
	if got := err.Error(); !strings.Contains(got, want) || strings.Contains(got, "\n") || strings.Contains(got, marker) {
		t.Errorf("%q with the file %q: got %q, want one line with %q and without %q", environ, file, got, want, marker)
	}
}

func tryLoad(t *testing.T, file string, environ []string) (settings, error) {
	t.Helper()
	dir := t.TempDir()
	if file != "" {
		if err := os.WriteFile(filepath.Join(dir, dotenv), []byte(file), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return loadSettings(append([]string{"HOME=/home/somebody"}, environ...), dir)
}

func isUsage(err error) bool {
	_, ok := errors.AsType[usageError](err)
	return ok
}

// same compares settings but for the folder that relative paths begin in.
func same(a, b settings) bool {
	a.database, b.database = database{}, database{}
	return reflect.DeepEqual(a, b)
}

func TestDebugModeLogsMore(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]bool{"true": true, "false": false} {
		logger := (&program{stderr: io.Discard}).logger(load(t, "", "AUTH_DEBUG_MODE="+value))
		if got := logger.Enabled(t.Context(), slog.LevelDebug); got != want {
			t.Errorf("AUTH_DEBUG_MODE=%s: debug logs %t, want %t", value, got, want)
		}
	}
}
