package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/gatehouse/gatehouse/engine"
)

// clientCommand administers client keys, in the database itself: no server has to
// run, and one that does sees a change within a second.
type clientCommand struct {
	Create createCommand `cmd:"" help:"Make a client key and print it."`
	List   listCommand   `cmd:"" help:"List the client keys of all tenants."`
	Rotate rotateCommand `cmd:"" help:"Replace a client key by a new one and print that."`
	Revoke revokeCommand `cmd:"" help:"End a client key at once and for good."`
}

// Help implements kong.HelpProvider.
func (clientCommand) Help() string {
	return `A client key is a UUID that opens one tenant's API as a bearer token. The database holds only its hash; lists, logs and commands name it by its fingerprint.` + exitCodes
}

type createCommand struct {
	Name      string         `help:"What the key is for; at most 256 characters."`
	Abilities abilityList    `help:"What it may be used for: check, read, write, audit and admin, which implies all. Default: admin." placeholder:"ABILITY"`
	Expires   *time.Duration `help:"How long it is good, such as 2160h. Default: for ever." placeholder:"DURATION"`
	Tenant    string         `help:"The existing tenant that it opens. Default: a new one." placeholder:"ID"`
}

// Help implements kong.HelpProvider.
func (createCommand) Help() string {
	return `Standard output gets the key alone. It is shown this once.

Examples:

    KEY=$(gatehouse client create --name backend)
    gatehouse client create --name dashboard --abilities check,read --expires 2160h --tenant ID` + exitCodes
}

// Run makes a key.
func (c createCommand) Run(ctx context.Context, p *program) error {
	e, err := p.open(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = e.Close() }()
	var lifetime time.Duration
	if c.Expires != nil {
		if lifetime = *c.Expires; lifetime == 0 {
			return usagef("--expires: a key that does not live is of no use; leave it out for one without an end")
		}
	}
	key, made, err := e.CreateClientKey(ctx, engine.ClientKeyOptions{
		Name: c.Name, Abilities: c.Abilities, Lifetime: lifetime, Tenant: c.Tenant,
	})
	if err != nil {
		return fmt.Errorf("making a client key: %w", err)
	}
	return p.printKey(key, made)
}

// printKey shows a new key: nothing else goes to standard output.
func (p *program) printKey(key string, made engine.ClientKey) error {
	if _, err := fmt.Fprintln(p.stdout, key); err != nil {
		return fmt.Errorf("printing the new client key %s: %w", made.Fingerprint, err)
	}
	_, err := fmt.Fprintf(p.stderr, "client key %s of tenant %s; the key itself is shown this once\n",
		made.Fingerprint, printable(made.Tenant))
	return err
}

type listCommand struct{}

// Help implements kong.HelpProvider.
func (listCommand) Help() string {
	return `Example:

    gatehouse client list` + exitCodes
}

// Run prints a table of all keys.
func (listCommand) Run(ctx context.Context, p *program) error {
	e, err := p.open(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = e.Close() }()
	keys, err := e.ClientKeys(ctx)
	if err != nil {
		return fmt.Errorf("listing the client keys: %w", err)
	}
	now := time.Now()
	table := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "FINGERPRINT\tTENANT\tNAME\tABILITIES\tCREATED\tEXPIRES\tSTATUS")
	for _, key := range keys {
		fmt.Fprintln(table, row(key, now))
	}
	return table.Flush()
}

func row(key engine.ClientKey, now time.Time) string {
	abilities := make([]string, len(key.Abilities))
	for i, ability := range key.Abilities {
		abilities[i] = string(ability)
	}
	return strings.Join([]string{
		key.Fingerprint,
		printable(key.Tenant),
		cmp.Or(printable(key.Name), "-"),
		strings.Join(abilities, ","),
		date(key.CreatedAt),
		date(key.ExpiresAt),
		key.Status(now),
	}, "\t")
}

func date(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format(time.RFC3339)
}

type rotateCommand struct {
	Fingerprint string        `arg:"" help:"The key's, as 'gatehouse client list' shows it."`
	Overlap     time.Duration `default:"24h" help:"How long the old key stays good (default ${default})." placeholder:"DURATION"`
}

// Help implements kong.HelpProvider.
func (rotateCommand) Help() string {
	return `The new key opens the same tenant, with the same name, abilities and lifetime. Standard output gets it alone; it is shown this once.

Examples:

    gatehouse client rotate 0123456789abcdef
    gatehouse client rotate 0123456789abcdef --overlap 1h` + exitCodes
}

// Run makes the successor of a key.
func (c rotateCommand) Run(ctx context.Context, p *program) error {
	e, err := p.open(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = e.Close() }()
	key, made, err := e.RotateClientKey(ctx, c.Fingerprint, c.Overlap)
	if err != nil {
		return fmt.Errorf("rotating the client key %s: %w", c.Fingerprint, err)
	}
	return p.printKey(key, made)
}

type revokeCommand struct {
	Fingerprint string `arg:"" help:"The key's, as 'gatehouse client list' shows it."`
}

// Help implements kong.HelpProvider.
func (revokeCommand) Help() string {
	return `Servers that run stop to accept the key within a second. Its tenant stays, and other keys of that tenant go on.

Example:

    gatehouse client revoke 0123456789abcdef` + exitCodes
}

// Run revokes a key. One that is revoked already is no failure.
func (c revokeCommand) Run(ctx context.Context, p *program) error {
	e, err := p.open(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = e.Close() }()
	done, err := e.RevokeClientKey(ctx, c.Fingerprint)
	if err != nil {
		return fmt.Errorf("revoking the client key %s: %w", c.Fingerprint, err)
	}
	outcome := "revoked"
	if !done.Changed {
		outcome = "was revoked before"
	}
	_, err = fmt.Fprintf(p.stdout, "client key %s %s\n", c.Fingerprint, outcome)
	return err
}

// abilityList is what follows --abilities; that nothing does is an error, for no
// abilities at all would mean every one.
type abilityList []engine.Ability

// UnmarshalText reads words separated by commas.
func (l *abilityList) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		return errors.New("must name at least one ability")
	}
	for word := range strings.SplitSeq(string(text), ",") {
		*l = append(*l, engine.Ability(strings.TrimSpace(word)))
	}
	return nil
}
