package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/gatehouse/gatehouse/cmd/gatehouse/internal/seedimport"
	"github.com/gatehouse/gatehouse/internal/seed"
)

// importKeyVariable holds the key where it is not to be seen in the list of processes.
// It is no AUTH_ variable: it is for one command, and the server does not know it.
const importKeyVariable = "GATEHOUSE_IMPORT_ENCRYPTION_KEY"

type importAuthCommand struct {
	From              string `required:"" help:"The database: sqlite:PATH or postgres://USER@HOST:PORT/NAME." placeholder:"URL"`
	EncryptionKey     string `help:"The AUTH_ENCRYPTION_KEY of that database, if it has one. Other users of this machine can see it here: GATEHOUSE_IMPORT_ENCRYPTION_KEY in the environment says it too." placeholder:"KEY"`
	AllowPlain        bool   `help:"Take a name that looks encrypted, and does not decrypt, as it stands."`
	IgnoreStrictUsers bool   `help:"Bring users as active who have no API key in a tenant with strict_users."`
	DryRun            bool   `help:"Check everything and write nothing."`
	Strict            bool   `help:"Write nothing unless every row can be brought."`
}

// Help implements kong.HelpProvider.
func (importAuthCommand) Help() string {
	return `Brings all tenants of a database of auth, the Python service by Farshid Ashouri, into the configured one: client keys, which go on as before, roles with their descriptions, permissions and memberships. What auth does not look at stays behind: rows that are not active, and the audit log; so do the API keys of users.

The other database is only read, as it is at one moment, and all of it before anything is written. What is there already is left as it is, and nothing is deleted, so an import that was broken off goes on where it is run again. Servers may run meanwhile.

A database may hold names from before its encryption was turned on: they are taken as they stand. One that looks encrypted, or like an encrypted one that was changed, and does not decrypt ends the import before it begins; see --allow-plain. Names that Gatehouse does not allow are left out, each row is told, and the exit code is 1.

In a tenant with strict_users, auth denies everything to users without an API key that is good: they come as inactive users, with what they hold.

The password of a postgres:// URL can be in PGPASSWORD or a file that PGPASSFILE names.

Examples:

    gatehouse import auth --from sqlite:/srv/auth/auth.sqlite3 --dry-run
    GATEHOUSE_IMPORT_ENCRYPTION_KEY=... gatehouse import auth --from 'postgres://auth@db/auth?search_path=auth_rbac'` + exitCodes
}

// Run imports the database.
func (c importAuthCommand) Run(ctx context.Context, p *program) error {
	s, err := p.settings()
	if err != nil {
		return err
	}
	from, err := c.open(ctx, p, s)
	if err != nil {
		return err
	}
	defer func() { _ = from.Close() }()

	options := seedimport.Options{IgnoreStrictUsers: c.IgnoreStrictUsers}
	report, err := p.advance(-1, "checking", options, func(options seedimport.Options) (seedimport.Report, error) {
		return seedimport.Check(ctx, from, options)
	})
	if err != nil {
		return err
	}
	p.printProblems(report)
	switch {
	case report.Unreadable > 0:
		return fmt.Errorf("nothing was imported; values that cannot be read, with the encryption key that is given or without: %d (see gatehouse import auth --help)", report.Unreadable)
	case c.Strict && report.LeftOut > 0:
		return fmt.Errorf("nothing was imported; rows that cannot be brought: %d", report.LeftOut)
	}
	if !c.DryRun {
		e, err := p.open(ctx)
		if err != nil {
			return err
		}
		defer func() { _ = e.Close() }()
		report, err = p.advance(report.Rows(), "importing", options, func(options seedimport.Options) (seedimport.Report, error) {
			return seedimport.Import(ctx, from, e, options)
		})
		if err != nil {
			return fmt.Errorf("%w (what was imported before stays; run the command again for the rest)", err)
		}
	}
	if err := p.printReport(report, c.DryRun); err != nil {
		return err
	}
	if report.LeftOut > 0 {
		return fmt.Errorf("rows left out: %d", report.LeftOut)
	}
	return nil
}

// advance does work that goes through rows, under a progress bar.
func (p *program) advance(rows int, what string, options seedimport.Options, work func(seedimport.Options) (seedimport.Report, error)) (seedimport.Report, error) {
	bar := p.progress(rows, what)
	defer func() { _ = bar.Finish() }()
	options.Progress = func() { _ = bar.Add(1) }
	return work(options)
}

// open opens the database to import, which must be another than that of the settings.
func (c importAuthCommand) open(ctx context.Context, p *program, s settings) (from *seed.Database, err error) {
	url := databaseURL(c.From)
	if url.UnmarshalText([]byte(c.From)) != nil {
		return nil, usagef("--from: must be sqlite:PATH or postgres://USER:PASSWORD@HOST:PORT/NAME, percent-encoded")
	}
	options := seed.Options{Key: cmp.Or(c.EncryptionKey, p.variable(importKeyVariable)), AllowPlain: c.AllowPlain}
	if path, ok := url.sqlitePath(); ok {
		file, missing := path.resolve(p.variable("HOME"), p.dir)
		if missing != nil {
			return nil, usagef("--from: %w", missing)
		}
		if isSameFile(file, s.database.path) {
			return nil, usagef("--from: is the configured database itself; let %s name a new one", s.database.variable)
		}
		from, err = seed.OpenSQLite(ctx, file, options)
	} else {
		from, err = seed.OpenPostgres(ctx, c.From, options)
	}
	if err != nil {
		return nil, fmt.Errorf("opening the database of --from: %w", err)
	}
	return from, nil
}

// variable reads one that is not among the settings; empty where it is not set.
func (p *program) variable(name string) string {
	for _, entry := range p.environ {
		if value, ok := strings.CutPrefix(entry, name+"="); ok {
			return value
		}
	}
	return ""
}

func isSameFile(a, b string) bool {
	infoA, errA := os.Stat(a)
	infoB, errB := os.Stat(b)
	return errors.Join(errA, errB) == nil && os.SameFile(infoA, infoB)
}

func (p *program) printProblems(report seedimport.Report) {
	for _, problem := range report.Problems {
		fmt.Fprintln(p.stderr, printable(problem))
	}
	if more := report.LeftOut + report.Unreadable - len(report.Problems); more > 0 {
		fmt.Fprintf(p.stderr, "and %d more\n", more)
	}
}

func (p *program) printReport(report seedimport.Report, dryRun bool) error {
	var b strings.Builder
	for _, line := range []struct {
		name string
		kind seed.Kind
	}{{"client keys", seed.Creator}, {"roles", seed.Role}, {"permissions of roles", seed.Grant}, {"memberships", seed.Membership}} {
		fmt.Fprintf(&b, "%s: %d", line.name, report.Found[line.kind])
		if !dryRun {
			fmt.Fprintf(&b, ", %d new", report.Added[line.kind])
		}
		fmt.Fprintln(&b)
	}
	if report.Inactive > 0 {
		fmt.Fprintf(&b, "users made inactive: %d\n", report.Inactive)
	}
	_, err := fmt.Fprint(p.stdout, b.String())
	return err
}
