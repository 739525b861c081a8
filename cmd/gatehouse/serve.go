package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/mattn/go-isatty"
	"golang.org/x/sync/errgroup"

	"github.com/gatehouse/gatehouse/server"
	"github.com/gatehouse/gatehouse/server/extauthz"
)

type serveCommand struct{}

// Help implements kong.HelpProvider.
func (serveCommand) Help() string {
	return `Serves the API on AUTH_SERVER_HOST and AUTH_SERVER_PORT until it gets SIGINT or SIGTERM; then it takes no more requests, and ends when those that it has are answered, after 20 seconds at the latest. Behind others who pass requests on, AUTH_SHUTDOWN_DELAY lets them turn elsewhere first. A second signal ends it at once.

With AUTH_TLS_CERT_FILE and AUTH_TLS_KEY_FILE it speaks TLS, and takes up another certificate when the files hold one. Plain HTTP is refused beyond loopback, unless AUTH_TLS_TERMINATED_UPSTREAM says that a proxy in front speaks TLS.

An SQLite database is made and migrated as needed; for PostgreSQL see 'gatehouse migrate' and AUTH_AUTO_MIGRATE. The log goes to standard error, as JSON.

Examples:

    gatehouse serve
    AUTH_SERVER_PORT=0 gatehouse serve
    AUTH_DATABASE_URL=postgres://gatehouse@db.example.com/gatehouse gatehouse serve
    AUTH_SERVER_HOST=0.0.0.0 AUTH_TLS_CERT_FILE=cert.pem AUTH_TLS_KEY_FILE=key.pem gatehouse serve` + exitCodes
}

// Run serves until ctx is done.
func (serveCommand) Run(ctx context.Context, p *program) (err error) {
	s, err := p.settings()
	if err != nil {
		return err
	}
	if err := s.checkPlain(); err != nil {
		return err
	}
	logger := p.logger(s)
	tlsConfig, err := serverTLS(s, logger)
	if err != nil {
		return err
	}
	for _, line := range s.warnings() {
		logger.Warn(line)
	}
	spans, err := startSpans(ctx, p.environ, logger)
	if err != nil {
		return err
	}
	s.tracerProvider = spans.TracerProvider
	defer spans.close(ctx, logger)
	e, err := openEngine(ctx, s, logger)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	listener, err := net.Listen("tcp", net.JoinHostPort(string(s.ServerHost), strconv.Itoa(s.ServerPort)))
	if err != nil {
		return fmt.Errorf("listening on AUTH_SERVER_HOST and AUTH_SERVER_PORT: %w", err)
	}
	url := s.localURL(portOf(listener.Addr()))
	h, err := server.New(server.Config{
		Engine:              e,
		Logger:              logger,
		PublicURL:           cmp.Or(string(s.PublicURL), url),
		AuthZENSubjectTypes: s.AuthZENSubjectTypes,
		CORSOrigins:         s.corsOrigins(),
		TrustedProxies:      s.TrustedProxies,
		RateLimit:           s.RateLimit,
		AuthFailureLimit:    s.AuthFailureLimit,
		MaxDecisions:        s.MaxConcurrentRequests,
		MaxConnections:      s.MaxConnections,
		ForwardTenant:       string(s.ForwardTenant),
		TLS:                 tlsConfig,
		Version:             buildVersion(),
		TracerProvider:      s.tracerProvider,
		MetricsElsewhere:    s.MetricsAddress != "",
		ShutdownDelay:       s.ShutdownDelay,
	})
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	extAuthz, err := listen("AUTH_EXT_AUTHZ_ADDRESS", s.ExtAuthzAddress)
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	metrics, err := listen("AUTH_METRICS_ADDRESS", s.MetricsAddress)
	if err != nil {
		return errors.Join(err, listener.Close(), closeListener(extAuthz))
	}
	p.announce(s, listener.Addr(), url, logger)
	// Where one of them cannot go on, none does.
	serving, ctx := errgroup.WithContext(ctx)
	serving.Go(func() error { return h.Serve(ctx, listener) })
	later, cancel := after(ctx, s.ShutdownDelay)
	defer cancel()
	if extAuthz != nil {
		p.announceOther("ext_authz", s.ExtAuthzAddress, extAuthz.Addr(), logger)
		serving.Go(func() error { return extauthz.Serve(later, h.Bound(extAuthz), h, tlsConfig) })
	}
	if metrics != nil {
		p.announceOther("metrics", s.MetricsAddress, metrics.Addr(), logger)
		serving.Go(func() error { return h.ServeMetrics(later, metrics) })
	}
	return serving.Wait()
}

// after is done a while after ctx is.
func after(ctx context.Context, while time.Duration) (context.Context, context.CancelFunc) {
	later, cancel := context.WithCancel(context.WithoutCancel(ctx))
	context.AfterFunc(ctx, func() { time.AfterFunc(while, cancel) })
	return later, cancel
}

// serverTLS is how the server speaks TLS; nil where it does not.
func serverTLS(s settings, logger *slog.Logger) (*tls.Config, error) {
	if !s.servesTLS() {
		return nil, nil
	}
	certificate, err := server.LoadCertificate(string(s.TLSCertFile), string(s.TLSKeyFile), logger)
	if err != nil {
		return nil, usagef("AUTH_TLS_CERT_FILE and AUTH_TLS_KEY_FILE: %w", err)
	}
	return certificate.TLS(), nil
}

// listen listens on the address of a variable; nil where there is none.
func listen(variable string, at address) (net.Listener, error) {
	if at == "" {
		return nil, nil
	}
	listener, err := net.Listen("tcp", string(at))
	if err != nil {
		return nil, fmt.Errorf("listening on %s: %w", variable, err)
	}
	return listener, nil
}

// closeListener closes what listen returned.
func closeListener(listener net.Listener) error {
	if listener == nil {
		return nil
	}
	return listener.Close()
}

// portOf returns the port of a TCP listener's address.
func portOf(address net.Addr) string {
	_, port, err := net.SplitHostPort(address.String())
	if err != nil {
		panic(err) // such an address has a port
	}
	return port
}

// announce says where the server can be reached: in the log, and to whoever looks
// at it or has left the port to chance.
func (p *program) announce(s settings, address net.Addr, url string, logger *slog.Logger) {
	kind, registration := "postgresql", registrationClosed
	if s.database.path != "" {
		kind = "sqlite"
	}
	if s.openRegistration() {
		registration = registrationOpen
	}
	logger.Info("serving",
		"address", address.String(), "database", kind, "registration", registration, "version", buildVersion())

	switch {
	case s.database.path != "" && isTerminal(p.stdout):
		fmt.Fprint(p.stdout, welcome(url, registration))
	case s.ServerPort == 0:
		fmt.Fprintln(p.stdout, url)
	}
}

// announceOther says where Envoy or Prometheus can ask: in the log, and to whoever has
// left the port to chance.
func (p *program) announceOther(what string, wanted address, at net.Addr, logger *slog.Logger) {
	logger.Info("serving "+what, "address", at.String())
	if strings.HasSuffix(string(wanted), ":0") {
		fmt.Fprintln(p.stdout, what, at)
	}
}

// welcome tells a newcomer where the server is and what to try first.
func welcome(url, registration string) string {
	key := "$(uuidgen)"
	if registration == registrationClosed {
		key = "$(gatehouse client create)"
	}
	return fmt.Sprintf(`
Gatehouse answers at %[1]s. To make a first role:

  KEY=%[2]s
  curl -X POST -H "Authorization: Bearer $KEY" %[1]s/api/role/admin

`, url, key)
}

func isTerminal(stream any) bool {
	file, ok := stream.(*os.File)
	return ok && isatty.IsTerminal(file.Fd())
}
