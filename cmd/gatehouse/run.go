package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"unicode"

	"github.com/alecthomas/kong"

	"github.com/gatehouse/gatehouse/engine"
)

// The exit codes.
const (
	exitSuccess = 0
	exitFailure = 1
	exitUsage   = 2
)

const exitCodes = `

Exit codes: 0 success, 1 failure, 2 wrong usage or a bad setting. Results go to standard output, everything else to standard error.`

const description = `Gatehouse answers "may this user do this, here?" for any number of applications.

Settings come from AUTH_ variables in the environment and, where it does not set one, from the file .env in the working directory; see docs/configuration.md.` + exitCodes

// commandLine is what the program can be told to do.
type commandLine struct {
	Serve      serveCommand      `cmd:"" help:"Run the server until it is told to stop."`
	Migrate    migrateCommand    `cmd:"" help:"Bring the database to this release's schema."`
	Client     clientCommand     `cmd:"" help:"Make, list, rotate and revoke client keys."`
	Keys       keysCommand       `cmd:"" help:"List and rotate the keys that sign tokens."`
	Encryption encryptionCommand `cmd:"" help:"Seal the database, change its key, or say what is sealed."`
	Audit      auditCommand      `cmd:"" help:"Verify, export and prune the audit log."`
	Check      checkCommand      `cmd:"" help:"Ask whether a user may do something, and why."`
	Import     importCommand     `cmd:"" help:"Write a policy file, or a database of auth, into the database."`
	Export     exportCommand     `cmd:"" help:"Write a policy file of what the database holds."`
	Test       testCommand       `cmd:"" help:"Try the tests of a policy file."`
	Health     healthCommand     `cmd:"" help:"Ask the server on this machine how it is."`
	Version    versionCommand    `cmd:"" help:"Print the version."`
}

// program is what a command has of the world around it.
type program struct {
	environ []string // as os.Environ gives it
	dir     string   // where .env is and relative paths begin; empty: the working directory
	stdin   io.Reader
	stdout  io.Writer
	stderr  io.Writer
}

// usageError is a mistake of whoever starts the program: it ends with exitUsage.
type usageError struct{ error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// errSaidNo ends a command whose answer is no, and is printed, with exitFailure.
var errSaidNo = errors.New("the answer is no")

// run carries out one command line and returns the exit code. It ends early, and
// in order, when ctx is done.
func run(ctx context.Context, args, environ []string, dir string, stdin io.Reader, stdout, stderr io.Writer) int {
	helped := false
	parser, err := kong.New(&commandLine{},
		kong.Name("gatehouse"),
		kong.Description(description),
		kong.Writers(stdout, stderr),
		kong.Exit(func(int) { helped = true }),
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Bind(&program{environ: environ, dir: dir, stdin: stdin, stdout: stdout, stderr: stderr}),
	)
	if err != nil {
		panic(err) // the commands are declared wrongly; no input leads here
	}
	command, err := parser.Parse(args)
	if helped {
		// Kong goes on parsing after it printed the help.
		return exitSuccess
	}
	if err != nil {
		err = usagef("%w (see gatehouse --help)", err)
	} else {
		err = command.Run()
	}
	switch {
	case err == nil:
		return exitSuccess
	case errors.Is(err, errSaidNo):
		return exitFailure
	}
	fmt.Fprintln(stderr, "gatehouse: "+describe(err))
	if _, usage := errors.AsType[usageError](err); usage || errors.Is(err, engine.ErrInvalid) {
		return exitUsage
	}
	return exitFailure
}

// describe makes one line of an error and all its causes. The engine's errors keep
// causes out of their text, which callers of the API read; whoever runs the program
// is told them.
func describe(err error) string {
	text := printable(err.Error())
	eachCause(err, func(cause error) {
		if more := printable(cause.Error()); !strings.Contains(text, more) {
			text += ": " + more
		}
	})
	return text
}

// eachCause calls fn with what err wraps, depth first.
func eachCause(err error, fn func(error)) {
	var causes []error
	switch e := err.(type) {
	case interface{ Unwrap() error }:
		causes = []error{e.Unwrap()}
	case interface{ Unwrap() []error }:
		causes = e.Unwrap()
	}
	for _, cause := range causes {
		if cause != nil {
			fn(cause)
			eachCause(cause, fn)
		}
	}
}

// printable makes one line of s that does nothing to a terminal.
func printable(s string) string {
	return strings.Join(strings.FieldsFunc(s, func(r rune) bool {
		return unicode.IsSpace(r) || !unicode.IsPrint(r)
	}), " ")
}

// open opens the configured database for a command that is not the server. Such a
// command makes no signing keys by the way, writes no checkpoint file and asks no replica.
func (p *program) open(ctx context.Context) (*engine.Engine, error) {
	s, err := p.settings()
	if err != nil {
		return nil, err
	}
	s.JWTAlgorithm, s.checkpointFile, s.ReplicaURLs = "", "", nil
	return openEngine(ctx, s, p.logger(s))
}

func openEngine(ctx context.Context, s settings, logger *slog.Logger) (*engine.Engine, error) {
	e, err := engine.Open(ctx, engine.Config{
		Database:         s.database.url,
		Replicas:         s.replicas(),
		ListenDatabase:   string(s.ListenURL),
		AutoMigrate:      s.AutoMigrate,
		Encryption:       s.encryption(),
		OpenRegistration: s.openRegistration(),
		DisableAudit:     !s.EnableAuditLogging,
		MaxStaleness:     s.MaxStaleness,
		CacheSizeMB:      s.CacheSizeMB,
		MaxWaiting:       max(1, s.MaxConcurrentRequests/4),
		Sessions:         s.sessions(),
		Tokens:           s.tokens(),
		Issuer:           string(s.PublicURL),
		TokenAlgorithm:   s.JWTAlgorithm,
		TokenSecret:      []byte(s.JWTSecretKey),
		Logger:           logger,
		TracerProvider:   s.tracerProvider,

		AuditCheckpointFile:     s.checkpointFile,
		AuditDecisions:          s.AuditDecisions,
		AuditDecisionsRetention: s.AuditDecisionsRetention,
	})
	if err != nil {
		return nil, fmt.Errorf("opening the database of %s: %w", s.database.variable, err)
	}
	return e, nil
}

func (p *program) settings() (settings, error) { return loadSettings(p.environ, p.dir) }

func (p *program) logger(s settings) *slog.Logger {
	level := slog.LevelInfo
	if s.DebugMode {
		level = slog.LevelDebug
	}
	return slog.New(slog.NewJSONHandler(p.stderr, &slog.HandlerOptions{Level: level}))
}
