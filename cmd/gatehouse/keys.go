package main

import (
	"context"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/gatehouse/gatehouse/engine"
)

// keysCommand administers the keys that sign tokens, in the database itself: no server
// has to run, and those that do take a new key up by themselves.
type keysCommand struct {
	List   listKeysCommand  `cmd:"" help:"List the signing keys."`
	Rotate rotateKeyCommand `cmd:"" help:"Make the next signing key."`
}

// Help implements kong.HelpProvider.
func (keysCommand) Help() string {
	return `Session tokens and access tokens are signed by keys that the server makes and keeps in its database, for each use its own, unless AUTH_JWT_SECRET_KEY gives one. The public halves of those of RS256, ES256 and EdDSA are at /.well-known/jwks.json.` + exitCodes
}

type listKeysCommand struct{}

// Help implements kong.HelpProvider.
func (listKeysCommand) Help() string {
	return `A key is published first, then signs, and then verifies until the last of its tokens has expired. The keys themselves are never shown.

Example:

    gatehouse keys list` + exitCodes
}

// Run prints a table of the signing keys.
func (listKeysCommand) Run(ctx context.Context, p *program) error {
	e, err := p.open(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = e.Close() }()
	keys, err := e.SigningKeys(ctx)
	if err != nil {
		return fmt.Errorf("listing the signing keys: %w", err)
	}
	table := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "KID\tUSE\tALGORITHM\tSIGNS FROM\tSTATE")
	for _, key := range keys {
		fmt.Fprintln(table, strings.Join([]string{key.ID, key.Use, key.Algorithm, date(key.SignsFrom), string(key.State)}, "\t"))
	}
	return table.Flush()
}

type rotateKeyCommand struct {
	Use string `enum:"session,access,all" default:"all" help:"The tokens that the key is for: session, access or all (the default), which makes a key for each."`
}

// Help implements kong.HelpProvider.
func (rotateKeyCommand) Help() string {
	return `The new key, of AUTH_JWT_ALGORITHM, is published at once and signs in 10 minutes, so that every server and every client knows it by then. Nobody is signed out, and no access token becomes invalid. Its kid goes to standard output; with all, that of the key for session tokens first, then that of the key for access tokens.

Examples:

    gatehouse keys rotate
    gatehouse keys rotate --use access` + exitCodes
}

// Run makes the next signing key of each use.
func (c rotateKeyCommand) Run(ctx context.Context, p *program) error {
	s, err := p.settings()
	if err != nil {
		return err
	}
	e, err := p.open(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = e.Close() }()
	uses := []string{c.Use}
	if c.Use == "all" {
		uses = []string{engine.UseSession, engine.UseAccess}
	}
	for _, use := range uses {
		key, err := e.RotateSigningKey(ctx, use, s.JWTAlgorithm)
		if err != nil {
			return fmt.Errorf("rotating the signing key of %s tokens: %w", use, err)
		}
		if _, err := fmt.Fprintln(p.stdout, key.ID); err != nil {
			return fmt.Errorf("printing the kid of the new signing key %s: %w", key.ID, err)
		}
		if _, err := fmt.Fprintf(p.stderr, "signing key %s for %s tokens by %s signs from %s\n", key.ID, use, key.Algorithm, date(key.SignsFrom)); err != nil {
			return err
		}
	}
	return nil
}
