package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/internal/audit"
)

// auditCommand looks after the audit log, in the database itself: no server has to run.
type auditCommand struct {
	Checkpoint checkpointCommand  `cmd:"" help:"Print the newest signed checkpoints."`
	Key        auditKeyCommand    `cmd:"" help:"Print the key that verifies checkpoints."`
	Verify     verifyCommand      `cmd:"" help:"Check that nothing was changed, removed or moved."`
	Export     exportAuditCommand `cmd:"" help:"Print events as JSON lines that can be verified."`
	Prune      pruneCommand       `cmd:"" help:"Delete old events, and keep the log verifiable."`
}

// Help implements kong.HelpProvider.
func (auditCommand) Help() string {
	return `Every event becomes a leaf of its tenant's Merkle tree (RFC 6962) within a second. A checkpoint is a signed note of the tree's size and root (C2SP tlog-checkpoint). Keep checkpoints, and the key, where whoever can write the database cannot: they are what a forged log does not fit.` + exitCodes
}

type checkpointCommand struct {
	Tenant string `help:"The tenant whose checkpoint it is. Default: all." placeholder:"ID"`
}

// Help implements kong.HelpProvider.
func (checkpointCommand) Help() string {
	return `Events that have no place in the tree yet get it first. Standard output gets the signed notes, one behind the other, as 'gatehouse audit verify --checkpoint' reads them. AUTH_AUDIT_CHECKPOINT_FILE has the server write them by itself.

Example:

    gatehouse audit checkpoint > checkpoints` + exitCodes
}

// Run prints the checkpoints.
func (c checkpointCommand) Run(ctx context.Context, p *program) error {
	return p.withAudit(ctx, c.Tenant, func(e *engine.Engine, tenants []string) error {
		if err := e.SequenceAudit(ctx); err != nil {
			return fmt.Errorf("signing checkpoints: %w", err)
		}
		for _, tenant := range tenants {
			checkpoint, err := e.Tenant(tenant).AuditCheckpoint(ctx)
			if err != nil {
				return fmt.Errorf("reading the checkpoint of tenant %q: %w", tenant, err)
			}
			if _, err := io.WriteString(p.stdout, checkpoint.Note); err != nil {
				return fmt.Errorf("printing a checkpoint: %w", err)
			}
		}
		return nil
	})
}

// withAudit opens the database and calls fn with the tenants that a command is about:
// one, or all that have an audit log.
func (p *program) withAudit(ctx context.Context, tenant string, fn func(*engine.Engine, []string) error) error {
	e, err := p.open(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = e.Close() }()
	tenants := []string{tenant}
	if tenant == "" {
		if tenants, err = e.AuditTenants(ctx); err != nil {
			return fmt.Errorf("listing the audit logs: %w", err)
		}
	}
	return fn(e, tenants)
}

type auditKeyCommand struct {
	Tenant string `help:"The tenant whose log it is for. Default: all." placeholder:"ID"`
}

// Help implements kong.HelpProvider.
func (auditKeyCommand) Help() string {
	return `Standard output gets a line for each tenant: the verifier key in the form of C2SP signed-note. It is one key under the names of all logs: 'gatehouse audit verify --key' takes any of the lines for all tenants.

Example:

    gatehouse audit key --tenant ID` + exitCodes
}

// Run prints the verifier keys.
func (c auditKeyCommand) Run(ctx context.Context, p *program) error {
	return p.withAudit(ctx, c.Tenant, func(e *engine.Engine, tenants []string) error {
		if len(tenants) == 0 {
			return errors.New("there is no audit log yet: name the --tenant that the key is for")
		}
		key, err := e.AuditKey(ctx)
		if err != nil {
			return fmt.Errorf("reading the key of the audit log: %w", err)
		}
		for _, tenant := range tenants {
			if _, err := fmt.Fprintln(p.stdout, key.VerifierKey(tenant)); err != nil {
				return fmt.Errorf("printing the key: %w", err)
			}
		}
		return nil
	})
}

type verifyCommand struct {
	Export     string   `help:"Verify this export, without a database." placeholder:"FILE"`
	Checkpoint []string `help:"Checkpoints to verify against, beside those of the log itself." placeholder:"FILE" sep:"none"`
	Key        string   `help:"The key that they are signed with. Default: that of the database or of the export." placeholder:"KEY"`
	Tenant     string   `help:"The tenant whose log it is. Default: all." placeholder:"ID"`
}

// Help implements kong.HelpProvider.
func (verifyCommand) Help() string {
	return `Reads every event, makes the tree again and compares it with the one that is kept, and with every checkpoint. The first event or checkpoint that is wrong is named on standard error, with exit code 1. Servers may run meanwhile.

Whoever can write the database can forge all that is in it: only a checkpoint and a key that were kept elsewhere show that.

Examples:

    gatehouse audit verify
    gatehouse audit verify --checkpoint /mnt/elsewhere/checkpoints --key KEY
    gatehouse audit verify --export audit.jsonl --key KEY` + exitCodes
}

// Run verifies a database or an export.
func (c verifyCommand) Run(ctx context.Context, p *program) error {
	var key *audit.Key
	if c.Key != "" {
		parsed, err := audit.ParseKey(c.Key)
		if err != nil {
			return usagef("--key: %w", err)
		}
		key = &parsed
	}
	if c.Export != "" {
		return c.verifyExport(p, key)
	}
	return p.withAudit(ctx, c.Tenant, func(e *engine.Engine, tenants []string) error {
		if key == nil {
			own, err := e.AuditKey(ctx)
			if err != nil {
				return fmt.Errorf("reading the key of the audit log: %w", err)
			}
			key = &own
		}
		known, err := c.known(p, *key)
		if err != nil {
			return err
		}
		if c.Tenant == "" {
			for _, checkpoint := range known {
				tenants = append(tenants, checkpoint.Tenant)
			}
			slices.Sort(tenants)
			tenants = slices.Compact(tenants)
		}
		for _, tenant := range tenants {
			if err := c.verifyTenant(ctx, p, e.Tenant(tenant), tenant, *key, known); err != nil {
				return err
			}
		}
		return nil
	})
}

func (c verifyCommand) verifyTenant(ctx context.Context, p *program, t *engine.Tenant, name string, key audit.Key, known []audit.Checkpoint) error {
	size, err := t.AuditSize(ctx)
	if err != nil {
		return fmt.Errorf("reading the audit log of tenant %q: %w", name, err)
	}
	move, done := p.steps(size, "verifying "+printable(name))
	verified, err := t.VerifyAudit(ctx, key, known, move)
	done()
	if err != nil {
		return err
	}
	if c.Tenant != "" && verified.To == 0 {
		return fmt.Errorf("tenant %q has no audit log", name)
	}
	return p.printVerified(verified)
}

func (p *program) printVerified(v audit.Verified) error {
	_, err := fmt.Fprintf(p.stdout, "tenant %s: %d events from %d on are as they were; %d checkpoints hold, the newest at %d\n",
		printable(v.Tenant), v.To-v.From, v.From, v.Checkpoints, v.Newest)
	return err
}

func (c verifyCommand) verifyExport(p *program, key *audit.Key) error {
	file, err := os.Open(p.path(c.Export))
	if err != nil {
		return fmt.Errorf("reading the export: %w", err)
	}
	defer func() { _ = file.Close() }()
	var known []audit.Checkpoint
	if key == nil {
		if len(c.Checkpoint) > 0 {
			return usagef("--checkpoint: needs the --key that the checkpoints are signed with")
		}
		fmt.Fprintln(p.stderr, "no --key: the export is held against the key in itself, which whoever forged it has chosen")
	} else if known, err = c.known(p, *key); err != nil {
		return err
	}
	move, done := p.steps(-1, "verifying")
	verified, err := audit.VerifyExport(file, key, known, move)
	done()
	if err != nil {
		return err
	}
	if uncovered := audit.Uncovered(known, verified); len(uncovered) > 0 {
		fmt.Fprintf(p.stderr, "%d checkpoints lie outside of what was exported\n", len(uncovered))
	}
	for _, v := range verified {
		if err := p.printVerified(v); err != nil {
			return err
		}
	}
	return nil
}

// known reads the checkpoints of the files, all of which the key has signed.
func (c verifyCommand) known(p *program, key audit.Key) ([]audit.Checkpoint, error) {
	var known []audit.Checkpoint
	for _, path := range c.Checkpoint {
		text, err := os.ReadFile(p.path(path))
		if err != nil {
			return nil, fmt.Errorf("reading the checkpoints: %w", err)
		}
		notes, torn := audit.SplitNotes(string(text))
		if torn > 0 {
			fmt.Fprintf(p.stderr, "%s: %d lines were torn and hold no checkpoint\n", path, torn)
		}
		if len(notes) == 0 {
			return nil, fmt.Errorf("%s: holds no checkpoint", path)
		}
		for i, note := range notes {
			checkpoint, err := key.Open(note)
			if err != nil {
				return nil, fmt.Errorf("%s: number %d: %w", path, i+1, err)
			}
			known = append(known, checkpoint)
		}
	}
	return known, nil
}

// path is a file's, seen from where the program runs.
func (p *program) path(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(p.dir, name)
}

type exportAuditCommand struct {
	Tenant string `help:"The tenant whose events they are. Default: all." placeholder:"ID"`
	Since  moment `help:"From the first event at or after this time on." placeholder:"TIME"`
	Until  moment `help:"Up to the first event at or after this time." placeholder:"TIME"`
}

// Help implements kong.HelpProvider.
func (exportAuditCommand) Help() string {
	return `Standard output gets a line for each event, in the order of the tree and without a gap, between one that says what came before and one with the newest checkpoint, and at the end how many tenants there were: 'gatehouse audit verify --export' needs nothing else. Events that have no place in the tree yet get it first.

A TIME is such as 2026-11-01, 2026-11-01T12:00:00Z, or how long ago, such as 720h.

Examples:

    gatehouse audit export > audit.jsonl
    gatehouse audit export --tenant ID --since 720h > audit.jsonl` + exitCodes
}

// Run exports the events.
func (c exportAuditCommand) Run(ctx context.Context, p *program) error {
	return p.withAudit(ctx, c.Tenant, func(e *engine.Engine, tenants []string) error {
		if err := e.SequenceAudit(ctx); err != nil {
			return fmt.Errorf("signing checkpoints: %w", err)
		}
		var exported audit.ExportTotal
		for _, tenant := range tenants {
			t := e.Tenant(tenant)
			size, err := t.AuditSize(ctx)
			if err != nil {
				return fmt.Errorf("reading the audit log of tenant %q: %w", tenant, err)
			}
			move, done := p.steps(size, "exporting "+printable(tenant))
			err = t.ExportAudit(ctx, p.stdout, c.Since.Time, c.Until.Time, move)
			done()
			if c.Tenant == "" && errors.Is(err, engine.ErrNotFound) {
				continue
			}
			if err != nil {
				return fmt.Errorf("exporting the audit log: %w", err)
			}
			exported++
		}
		line, err := exported.Line()
		if err == nil {
			_, err = p.stdout.Write(line)
		}
		return err
	})
}

type pruneCommand struct {
	Before moment `required:"" help:"Delete what is older than this." placeholder:"TIME"`
	Tenant string `help:"The tenant whose events they are. Default: all." placeholder:"ID"`
}

// Help implements kong.HelpProvider.
func (pruneCommand) Help() string {
	return `Deletes the events before the first one that is not older, once and for all; export them first. Their hashes stay, so that the log can still be verified, and an event AUDIT_PRUNED says how far it went.

A TIME is such as 2026-11-01, 2026-11-01T12:00:00Z, or how long ago, such as 8760h.

Example:

    gatehouse audit prune --before 8760h` + exitCodes
}

// Run prunes the logs.
func (c pruneCommand) Run(ctx context.Context, p *program) error {
	return p.withAudit(ctx, c.Tenant, func(e *engine.Engine, tenants []string) error {
		for _, tenant := range tenants {
			move, done := p.steps(-1, "pruning "+printable(tenant))
			batches := int64(0)
			pruned, err := e.Tenant(tenant).PruneAudit(ctx, c.Before.Time, func() { batches++; move(batches) })
			done()
			if err != nil {
				return fmt.Errorf("pruning the audit log of tenant %q: %w", tenant, err)
			}
			if _, err := fmt.Fprintf(p.stdout, "tenant %s: pruned up to event %d\n", printable(tenant), pruned); err != nil {
				return err
			}
		}
		return nil
	})
}

// moment is a time, or how long ago it was.
type moment struct{ time.Time }

// UnmarshalText reads RFC 3339, a date in UTC, or a duration.
func (m *moment) UnmarshalText(text []byte) error {
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if at, err := time.Parse(layout, string(text)); err == nil {
			m.Time = at
			return nil
		}
	}
	ago, err := time.ParseDuration(string(text))
	if err != nil || ago < 0 {
		return errors.New("must be a date, a time as in RFC 3339 or a duration such as 720h")
	}
	m.Time = time.Now().Add(-ago)
	return nil
}
