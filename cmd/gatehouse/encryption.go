package main

import (
	"context"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/gatehouse/gatehouse/engine"
)

// encryptionCommand changes what the database is sealed with, in the database itself,
// while servers go on using it.
type encryptionCommand struct {
	Status  encryptionStatusCommand  `cmd:"" help:"Say what is sealed, and with which key."`
	Enable  encryptionEnableCommand  `cmd:"" help:"Seal a plain database."`
	Rotate  encryptionRotateCommand  `cmd:"" help:"Seal the database with another secret."`
	Disable encryptionDisableCommand `cmd:"" help:"Leave the database plain."`
}

// Help implements kong.HelpProvider.
func (encryptionCommand) Help() string {
	return `Names and personal data are sealed with a key that derives from AUTH_ENCRYPTION_KEY; ids and types of resources, roles and times are not. A command that is stopped, in whatever way, has done no harm: run it again, and it goes on where it was. Servers answer meanwhile, provided that they have the secrets.

At the end of enable and rotate a SQLite file is written anew, so that nothing of what its rows were is left in it; writers wait for that. PostgreSQL's tables are vacuumed, which leaves what rows were in free parts of its pages until they are used again, and in its write-ahead log: where that matters, run VACUUM FULL while no server does. Neither reaches a backup.

Example:

    gatehouse encryption status` + exitCodes
}

type encryptionStatusCommand struct{}

// Help implements kong.HelpProvider.
func (encryptionStatusCommand) Help() string {
	return `Counts every row, which takes a while in a large database. The secrets are never shown.

Example:

    gatehouse encryption status` + exitCodes
}

// Run prints the keys and the rows that are sealed with each.
func (encryptionStatusCommand) Run(ctx context.Context, p *program) error {
	e, err := p.openEncryption(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = e.Close() }()
	status, err := e.Status(ctx)
	if err != nil {
		return fmt.Errorf("reading what is sealed: %w", err)
	}
	table := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintf(table, "new values:\t%s\n", keyName(status.With))
	for _, key := range status.Keys {
		fmt.Fprintf(table, "key %s:\tmade %s, %s\n", key.ID, date(key.CreatedAt), secretState(key.Opens, key.Current))
	}
	fmt.Fprintf(table, "tenants left to seal:\t%d\n\n", status.TenantsLeft)
	fmt.Fprintln(table, "TABLE\tKEY\tROWS")
	for _, rows := range status.Rows {
		fmt.Fprintln(table, strings.Join([]string{rows.Table, keyName(rows.Key), fmt.Sprint(rows.Rows)}, "\t"))
	}
	return table.Flush()
}

func keyName(id string) string {
	if id == "" {
		return "plain"
	}
	return id
}

func secretState(opens, current bool) string {
	switch {
	case current:
		return "of AUTH_ENCRYPTION_KEY"
	case opens:
		return "of AUTH_ENCRYPTION_PREVIOUS_KEYS"
	default:
		return "its secret is not set"
	}
}

type encryptionEnableCommand struct{}

// Help implements kong.HelpProvider.
func (encryptionEnableCommand) Help() string {
	return `First give every server the secret in AUTH_ENCRYPTION_KEY, with AUTH_ENABLE_ENCRYPTION=false: one without it stops answering. When the command has ended, set AUTH_ENABLE_ENCRYPTION=true everywhere.

What was written before stays readable where the database keeps what was replaced or deleted: in backups, in PostgreSQL until VACUUM FULL, and in an SQLite file, for what had been deleted before, until VACUUM.

Example:

    AUTH_ENCRYPTION_KEY=... gatehouse encryption enable` + exitCodes
}

// Run seals the configured database.
func (encryptionEnableCommand) Run(ctx context.Context, p *program) error {
	return p.changeEncryption(ctx, "sealing the database", "sealed", (*engine.Encryption).Enable)
}

type encryptionRotateCommand struct{}

// Help implements kong.HelpProvider.
func (encryptionRotateCommand) Help() string {
	return `First give every server the new secret in AUTH_ENCRYPTION_KEY and the one of before in AUTH_ENCRYPTION_PREVIOUS_KEYS: one without it stops answering. When the command has ended, nothing needs the one of before.

Example:

    AUTH_ENCRYPTION_KEY=... AUTH_ENCRYPTION_PREVIOUS_KEYS=... gatehouse encryption rotate` + exitCodes
}

// Run seals the configured database with another key.
func (encryptionRotateCommand) Run(ctx context.Context, p *program) error {
	return p.changeEncryption(ctx, "changing the key", "sealed with the key of AUTH_ENCRYPTION_KEY", (*engine.Encryption).Rotate)
}

type encryptionDisableCommand struct{}

// Help implements kong.HelpProvider.
func (encryptionDisableCommand) Help() string {
	return `Servers keep AUTH_ENCRYPTION_KEY until the command has ended. When it has, set AUTH_ENABLE_ENCRYPTION=false everywhere: a server that is started with true is refused then.

Example:

    gatehouse encryption disable` + exitCodes
}

// Run opens everything that is sealed in the configured database.
func (encryptionDisableCommand) Run(ctx context.Context, p *program) error {
	return p.changeEncryption(ctx, "leaving the database plain", "plain", (*engine.Encryption).Disable)
}

// changeEncryption runs a change, and shows how far it is.
func (p *program) changeEncryption(ctx context.Context, doing, done string, change func(*engine.Encryption, context.Context, func(done, total int64)) (bool, error)) error {
	e, err := p.openEncryption(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = e.Close() }()
	var rows int64
	bar := p.progress(0, doing)
	changed, err := change(e, ctx, func(done, total int64) {
		rows = done
		bar.ChangeMax64(total)
		_ = bar.Set64(done)
	})
	_ = bar.Finish()
	switch {
	case err != nil:
		return fmt.Errorf("%s: %w", doing, err)
	case !changed:
		_, err = fmt.Fprintf(p.stdout, "%s already: nothing to do\n", done)
	default:
		_, err = fmt.Fprintf(p.stdout, "%s: %d rows written\n", done, rows)
	}
	return err
}

func (p *program) openEncryption(ctx context.Context) (*engine.Encryption, error) {
	s, err := p.settings()
	if err != nil {
		return nil, err
	}
	e, err := engine.OpenEncryption(ctx, engine.Config{
		Database: s.database.url, AutoMigrate: s.AutoMigrate, Encryption: s.encryption(), Logger: p.logger(s),
	})
	if err != nil {
		return nil, fmt.Errorf("opening the database of %s: %w", s.database.variable, err)
	}
	return e, nil
}
