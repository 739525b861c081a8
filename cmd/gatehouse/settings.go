package main

import (
	"cmp"
	"strings"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/engine"
)

// The values of AUTH_CLIENT_REGISTRATION.
const (
	registrationOpen   = "open"
	registrationClosed = "closed"
)

// settings are the AUTH_ variables. The tags declare them, and docs/configuration.md
// and .env.example are made of the tags:
//
//	group       heads the variables from here on
//	env         the name
//	envDefault  the value that stands when the variable is not set
//	default     says what stands then, where it is not a value
//	enum        the values that are allowed
//	min, max    the bounds, inclusive; of a string: of its length in bytes
//	form        says what values are like, where the type does not
//	secret      the value is never shown
//	later       nothing acts on the variable yet; and what that means
//	help        what it is for
type settings struct {
	DatabaseType  string        `group:"Database" env:"AUTH_DATABASE_TYPE" envDefault:"sqlite" enum:"sqlite,postgresql" help:"The database, unless AUTH_DATABASE_URL says it."`
	DatabaseURL   databaseURL   `env:"AUTH_DATABASE_URL" form:"postgres://USER:PASSWORD@HOST:PORT/NAME, percent-encoded, with HOST:PORT,HOST:PORT for several, or sqlite:PATH" secret:"true" help:"The database; overrides AUTH_DATABASE_TYPE, AUTH_POSTGRESQL_URL and AUTH_SQLITE_PATH."`
	PostgreSQLURL postgresURL   `env:"AUTH_POSTGRESQL_URL" form:"postgres://USER:PASSWORD@HOST:PORT/NAME, percent-encoded, with HOST:PORT,HOST:PORT for several" secret:"true" help:"The PostgreSQL database. Required when AUTH_DATABASE_TYPE is postgresql."`
	ListenURL     postgresURL   `env:"AUTH_POSTGRESQL_LISTEN_URL" default:"the PostgreSQL database's" form:"postgres://USER:PASSWORD@HOST:PORT/NAME, percent-encoded" secret:"true" help:"A way to the same database for LISTEN alone, where the other leads through a pooler in transaction mode."`
	SQLitePath    filePath      `env:"AUTH_SQLITE_PATH" envDefault:"~/.auth.sqlite3" form:"a file's path; ~/ is the home directory" help:"The SQLite database. The file is created and migrated as needed."`
	AutoMigrate   bool          `env:"AUTH_AUTO_MIGRATE" envDefault:"false" help:"Migrate PostgreSQL at start-up, as 'gatehouse migrate' does."`
	ReplicaURLs   replicaURLs   `env:"AUTH_POSTGRESQL_REPLICA_URLS" form:"comma-separated postgres://USER:PASSWORD@HOST:PORT/NAME, percent-encoded" secret:"true" help:"Streaming replicas of the PostgreSQL database, which answer lists, searches and audit pages where they have all that it has; see docs/replicas.md."`
	MaxStaleness  time.Duration `env:"AUTH_MAX_STALENESS" envDefault:"30s" min:"0s" max:"24h" help:"How long decisions go on from memory while the database is away; 0s: not at all."`
	CacheSizeMB   int           `env:"AUTH_CACHE_SIZE_MB" envDefault:"256" min:"1" max:"1048576" help:"Memory for what decisions are made from and who may call, in MiB, about."`

	ServerHost            hostName      `group:"Server" env:"AUTH_SERVER_HOST" envDefault:"127.0.0.1" form:"a host name or an IP address" help:"The address to listen on; 0.0.0.0 or :: is every one."`
	ServerPort            int           `env:"AUTH_SERVER_PORT" envDefault:"8000" min:"0" max:"65535" help:"The port to listen on; 0 takes any free one and prints the address."`
	ShutdownDelay         time.Duration `env:"AUTH_SHUTDOWN_DELAY" envDefault:"0s" min:"0s" max:"5m" help:"How long a server that is told to stop goes on, while /readyz answers 503, before it refuses connections; and how long after that it keeps those that are open. 0s: not at all."`
	PublicURL             publicURL     `env:"AUTH_PUBLIC_URL" default:"the address that the server listens on" form:"an http:// or https:// URL without user, query and fragment" secret:"true" help:"Where clients reach the server, for the URLs in its answers. Tokens name it as their issuer where it is set, so another one makes those of before invalid."`
	DebugMode             bool          `env:"AUTH_DEBUG_MODE" envDefault:"false" help:"Log more."`
	AllowCORS             bool          `env:"AUTH_ALLOW_CORS" envDefault:"true" help:"Answer cross-origin requests of browsers."`
	CORSOrigins           origins       `env:"AUTH_CORS_ORIGINS" envDefault:"*" form:"* or comma-separated origins such as https://app.example.com" help:"Whose pages may call the API."`
	TrustedProxies        proxies       `env:"AUTH_TRUSTED_PROXIES" form:"comma-separated addresses and CIDR ranges such as 10.0.0.0/8" help:"Proxies whose X-Forwarded-For is believed."`
	ExtAuthzAddress       address       `env:"AUTH_EXT_AUTHZ_ADDRESS" form:"HOST:PORT, such as 127.0.0.1:9001 or [::1]:9001" help:"Where to answer Envoy's ext_authz, over gRPC; port 0 takes any free one and prints the address; not set: nowhere."`
	MetricsAddress        address       `env:"AUTH_METRICS_ADDRESS" default:"the address of the API" form:"HOST:PORT, such as 127.0.0.1:9002 or [::1]:9002" help:"Where to answer Prometheus at /metrics, and nowhere else, and callers on this machine at /debug/pprof/, over plain HTTP; not for the public. Port 0 takes any free one and prints the address."`
	ForwardTenant         tenantID      `env:"AUTH_FORWARD_TENANT" form:"a tenant's id, as 'gatehouse client list' shows it" help:"The one tenant whose sessions /auth/forward and ext_authz take; not set: any tenant's, unless the proxy names one."`
	TLSCertFile           filePath      `env:"AUTH_TLS_CERT_FILE" form:"a file's path; ~/ is the home directory" help:"The certificate chain, in PEM; the server then speaks TLS. Another one in the files is taken up without a restart."`
	TLSKeyFile            filePath      `env:"AUTH_TLS_KEY_FILE" form:"a file's path; ~/ is the home directory" help:"The certificate's private key, in PEM."`
	TLSTerminatedUpstream bool          `env:"AUTH_TLS_TERMINATED_UPSTREAM" envDefault:"false" help:"A proxy in front of the server speaks TLS, and nobody else reaches it: plain HTTP is served beyond loopback too, which is refused otherwise."`

	ClientRegistration    string `group:"Callers" env:"AUTH_CLIENT_REGISTRATION" default:"open on a loopback host, else closed" enum:"open,closed" help:"open: any UUID4 opens a tenant of its own; closed: only keys of 'gatehouse client create' are let in."`
	RateLimit             int    `env:"AUTH_RATE_LIMIT" envDefault:"0" min:"0" max:"1000000" help:"Requests per second and client key, on each server; 0: no limit."`
	AuthFailureLimit      int    `env:"AUTH_AUTH_FAILURE_LIMIT" envDefault:"60" min:"0" max:"1000000" help:"Failed authentications per minute and address (of IPv6: /64), on each server; 0: no limit. A key that was good from there before is let in all the same."`
	MaxConcurrentRequests int    `env:"AUTH_MAX_CONCURRENT_REQUESTS" envDefault:"1024" min:"1" max:"1000000" help:"Decisions at work at once, on each server; what is beyond is a 503. Lists and writes follow the database's pool."`
	MaxConnections        int    `env:"AUTH_MAX_CONNECTIONS" envDefault:"10000" min:"1" max:"1000000" help:"Open connections of the API's address, and as many of AUTH_EXT_AUTHZ_ADDRESS, on each server; one more is closed at once."`
	AuthZENSubjectTypes   list   `env:"AUTH_AUTHZEN_SUBJECT_TYPES" envDefault:"user" form:"comma-separated names" help:"The AuthZEN subject types that mean a user."`

	JWTSecretKey                string `group:"Tokens" env:"AUTH_JWT_SECRET_KEY" default:"made and kept by the server" min:"32" secret:"true" help:"The HMAC key that signs tokens; for HS256 alone. Another one makes the tokens of before invalid."`
	JWTAlgorithm                string `env:"AUTH_JWT_ALGORITHM" envDefault:"HS256" enum:"HS256,RS256,ES256,EdDSA" help:"How tokens are signed."`
	JWTAccessTokenExpireMinutes int    `env:"AUTH_JWT_ACCESS_TOKEN_EXPIRE_MINUTES" envDefault:"1440" min:"1" max:"525600" help:"How long an access token is good, in minutes."`
	JWTRefreshTokenExpireDays   int    `env:"AUTH_JWT_REFRESH_TOKEN_EXPIRE_DAYS" envDefault:"7" min:"1" max:"3650" help:"How long a refresh token is good, in days, from when it was issued."`

	SessionOverlap     time.Duration `group:"Sessions" env:"AUTH_SESSION_OVERLAP" envDefault:"10s" min:"0s" max:"10m" help:"How long a superseded token is still answered with its successor."`
	SessionLostWindow  time.Duration `env:"AUTH_SESSION_LOST_WINDOW" envDefault:"5m" min:"0s" max:"24h" help:"How long a client whose answer was lost may ask again."`
	SessionRotateAfter time.Duration `env:"AUTH_SESSION_ROTATE_AFTER" envDefault:"0s" min:"0s" max:"24h" help:"How old a token gets before its use rotates it and puts off the idle limit; 0s: every use does. At most half of AUTH_SESSION_IDLE."`
	SessionIdle        time.Duration `env:"AUTH_SESSION_IDLE" envDefault:"12h" min:"1s" max:"87600h" help:"How long a session lives unused."`
	SessionAbsolute    time.Duration `env:"AUTH_SESSION_ABSOLUTE" envDefault:"720h" min:"1s" max:"87600h" help:"How long a session lives at all."`
	SessionBinding     string        `env:"AUTH_SESSION_BINDING" envDefault:"standard" enum:"strict,standard,off" help:"How a session is bound to its browser and address, unless it says so itself."`
	SessionMaxPerUser  int           `env:"AUTH_SESSION_MAX_PER_USER" envDefault:"0" min:"0" max:"1000000" help:"Sessions per user, beyond which the oldest ends; 0: no limit."`

	EnableEncryption       bool   `group:"Encryption" env:"AUTH_ENABLE_ENCRYPTION" envDefault:"false" help:"Seal names and personal data at rest. Needs AUTH_ENCRYPTION_KEY, and for a database that is in use 'gatehouse encryption enable'."`
	EncryptionKey          string `env:"AUTH_ENCRYPTION_KEY" form:"any text" secret:"true" help:"The secret that keys are derived from; 32 random characters or more are advised. Without AUTH_ENABLE_ENCRYPTION it opens what is sealed meanwhile."`
	EncryptionPreviousKeys list   `env:"AUTH_ENCRYPTION_PREVIOUS_KEYS" form:"comma-separated texts" secret:"true" help:"Former values of AUTH_ENCRYPTION_KEY, until 'gatehouse encryption rotate' has ended."`

	EnableAuditLogging  bool     `group:"Audit" env:"AUTH_ENABLE_AUDIT_LOGGING" envDefault:"true" help:"Keep an audit event of every change and refusal."`
	AuditDecisions      string   `env:"AUTH_AUDIT_DECISIONS" envDefault:"off" enum:"off,denied,all" help:"Which decisions go to the decision log."`
	AuditCheckpointFile filePath `env:"AUTH_AUDIT_CHECKPOINT_FILE" form:"a file's path; ~/ is the home directory" help:"Where the server appends the signed checkpoints of the audit log, as JSON lines, every minute in which there are new ones."`

	AuditDecisionsRetention time.Duration `env:"AUTH_AUDIT_DECISIONS_RETENTION" envDefault:"720h" min:"0s" max:"876000h" help:"How long a decision stays in the decision log; 0s: for ever."`

	// database is what the variables of the first group amount to.
	database database

	// checkpointFile is the path of AuditCheckpointFile; empty without one.
	checkpointFile string

	// tracerProvider makes spans; nil for none. It is none of the AUTH_ variables'.
	tracerProvider trace.TracerProvider

	// present holds the names of the variables that are set.
	present map[string]bool
}

// loadSettings reads the settings out of environ, which is of the form of
// os.Environ, and the file .env in dir. Its errors are usage errors of one line
// that name the variable, and never hold a secret.
func loadSettings(environ []string, dir string) (settings, error) {
	e, err := readEnvironment(environ, dir)
	if err != nil {
		return settings{}, err
	}
	s, err := parse(e)
	if err != nil {
		return settings{}, err
	}
	if err := s.check(); err != nil {
		return settings{}, err
	}
	if s.TLSCertFile, err = s.TLSCertFile.locate("AUTH_TLS_CERT_FILE", e.home, dir); err != nil {
		return settings{}, err
	}
	if s.TLSKeyFile, err = s.TLSKeyFile.locate("AUTH_TLS_KEY_FILE", e.home, dir); err != nil {
		return settings{}, err
	}
	if s.AuditCheckpointFile != "" {
		if s.checkpointFile, err = s.AuditCheckpointFile.resolve(e.home, dir); err != nil {
			return settings{}, usagef("AUTH_AUDIT_CHECKPOINT_FILE: %w", err)
		}
	}
	s.database, err = findDatabase(s, e.home, dir)
	return s, err
}

// check refuses settings that do not go together.
func (s settings) check() error {
	switch {
	case s.EnableEncryption && strings.TrimSpace(s.EncryptionKey) == "":
		return usagef("AUTH_ENCRYPTION_KEY: must be set, for AUTH_ENABLE_ENCRYPTION is true")
	case s.TLSCertFile != "" && s.TLSKeyFile == "":
		return usagef("AUTH_TLS_KEY_FILE: must be set, for AUTH_TLS_CERT_FILE is")
	case s.TLSKeyFile != "" && s.TLSCertFile == "":
		return usagef("AUTH_TLS_CERT_FILE: must be set, for AUTH_TLS_KEY_FILE is")
	case s.JWTSecretKey != "" && s.JWTAlgorithm != "HS256":
		return usagef("AUTH_JWT_SECRET_KEY: is for HS256 alone, and AUTH_JWT_ALGORITHM is %s", s.JWTAlgorithm)
	case s.SessionIdle > s.SessionAbsolute:
		return usagef("AUTH_SESSION_IDLE: must be at most AUTH_SESSION_ABSOLUTE, %s", s.SessionAbsolute)
	case s.SessionOverlap >= s.SessionIdle:
		return usagef("AUTH_SESSION_OVERLAP: must be below AUTH_SESSION_IDLE, %s", s.SessionIdle)
	case s.SessionLostWindow >= s.SessionIdle:
		return usagef("AUTH_SESSION_LOST_WINDOW: must be below AUTH_SESSION_IDLE, %s", s.SessionIdle)
	case s.SessionRotateAfter > s.SessionIdle/2:
		return usagef("AUTH_SESSION_ROTATE_AFTER: must be at most half of AUTH_SESSION_IDLE, %s", s.SessionIdle)
	default:
		return nil
	}
}

// servesTLS tells whether the server speaks TLS itself.
func (s settings) servesTLS() bool { return s.TLSCertFile != "" }

// checkPlain refuses to serve without TLS where others than this machine would see the
// keys and tokens that pass.
func (s settings) checkPlain() error {
	if s.servesTLS() || s.TLSTerminatedUpstream {
		return nil
	}
	const instead = "would show keys and tokens to the network: set AUTH_TLS_CERT_FILE and AUTH_TLS_KEY_FILE, or AUTH_TLS_TERMINATED_UPSTREAM=true where a proxy in front speaks TLS"
	if !s.ServerHost.isLoopback() {
		return usagef("AUTH_SERVER_HOST: plain HTTP on %s %s", s.ServerHost, instead)
	}
	if s.ExtAuthzAddress != "" && !s.ExtAuthzAddress.host().isLoopback() {
		return usagef("AUTH_EXT_AUTHZ_ADDRESS: plain gRPC on %s %s", s.ExtAuthzAddress, instead)
	}
	return nil
}

// sessions says how sessions live. What is set to nothing is negative there, where
// zero means the default.
func (s settings) sessions() engine.SessionConfig {
	return engine.SessionConfig{
		Overlap:     cmp.Or(s.SessionOverlap, -1),
		LostWindow:  cmp.Or(s.SessionLostWindow, -1),
		RotateAfter: s.SessionRotateAfter,
		Idle:        s.SessionIdle,
		Absolute:    s.SessionAbsolute,
		Binding:     authz.SessionBinding(s.SessionBinding),
		MaxPerUser:  s.SessionMaxPerUser,
	}
}

// encryption says how the database is sealed.
func (s settings) encryption() engine.EncryptionConfig {
	return engine.EncryptionConfig{Enabled: s.EnableEncryption, Secret: s.EncryptionKey, Previous: s.EncryptionPreviousKeys}
}

// tokens says how long access and refresh tokens are good.
func (s settings) tokens() engine.TokenConfig {
	return engine.TokenConfig{
		Access:  time.Duration(s.JWTAccessTokenExpireMinutes) * time.Minute,
		Refresh: time.Duration(s.JWTRefreshTokenExpireDays) * 24 * time.Hour,
	}
}

// openRegistration tells whether an unknown client key opens a tenant. Unless
// told, it does only where nobody but this machine can bring one.
func (s settings) openRegistration() bool {
	if s.ClientRegistration == "" {
		return s.ServerHost.isLoopback()
	}
	return s.ClientRegistration == registrationOpen
}

// replicas returns the URLs of the database's replicas.
func (s settings) replicas() []string {
	if s.database.path != "" {
		return nil
	}
	return s.ReplicaURLs
}

// corsOrigins returns whose pages may call the API; nil for nobody's.
func (s settings) corsOrigins() []string {
	if !s.AllowCORS {
		return nil
	}
	return s.CORSOrigins
}

// warnings says what is set and does not do what it seems to, a line each.
func (s settings) warnings() []string {
	var lines []string
	for _, v := range variables {
		if v.later != "" && s.present[v.name] {
			lines = append(lines, v.name+" is not in use yet: "+v.later)
		}
	}
	if s.present["AUTH_POSTGRESQL_URL"] && s.database.variable != "AUTH_POSTGRESQL_URL" {
		lines = append(lines, "AUTH_POSTGRESQL_URL is not used: the database is that of "+s.database.variable)
	}
	if len(s.ReplicaURLs) > 0 && s.database.path != "" {
		lines = append(lines, "AUTH_POSTGRESQL_REPLICA_URLS is not used: the database is an SQLite file")
	}
	if s.ListenURL != "" && s.database.path != "" {
		lines = append(lines, "AUTH_POSTGRESQL_LISTEN_URL is not used: the database is an SQLite file")
	}
	if s.TLSTerminatedUpstream && len(s.TrustedProxies) == 0 {
		lines = append(lines, "AUTH_TRUSTED_PROXIES is not set: all callers have the address of the proxy in front, and are limited together where one of them fails to authenticate")
	}
	if s.MetricsAddress != "" && !s.MetricsAddress.host().isLoopback() {
		lines = append(lines, "AUTH_METRICS_ADDRESS is beyond loopback: whoever reaches it can read the metrics, so keep the public away")
	}
	if s.openRegistration() && !s.ServerHost.isLoopback() {
		lines = append(lines, "AUTH_CLIENT_REGISTRATION is open: whoever reaches the server can open a tenant")
		if s.ForwardTenant == "" {
			lines = append(lines, "AUTH_FORWARD_TENANT is not set: a proxy that names no tenant lets in the users of whichever tenant, those that anybody can open too")
		}
	}
	return lines
}
