package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/cmd/gatehouse/internal/policyfile"
	"github.com/gatehouse/gatehouse/engine"
)

// importCommand writes into the configured database.
type importCommand struct {
	Policy importPolicyCommand `cmd:"" help:"Bring a tenant to what a policy file says."`
	Auth   importAuthCommand   `cmd:"" help:"Bring over a database of auth, the Python service."`
}

// exportCommand writes files of what the configured database holds.
type exportCommand struct {
	Policy exportPolicyCommand `cmd:"" help:"Print a tenant's policy as a file."`
}

// testCommand tries files without a database.
type testCommand struct {
	Policy testPolicyCommand `cmd:"" help:"Try the tests of a policy file."`
}

type importPolicyCommand struct {
	File   string `arg:"" help:"The policy file; see docs/policy.md."`
	Tenant string `required:"" help:"The tenant that it is for." placeholder:"ID"`
	DryRun bool   `help:"Print the difference and change nothing."`
	Prune  bool   `help:"Delete what the file does not hold. With a scope go the resources below it."`
}

// Help implements kong.HelpProvider.
func (importPolicyCommand) Help() string {
	return `The whole file takes effect in one transaction, or none of it does. Standard output gets the difference, a line for each thing that is added (+), changed (~) or deleted (-). A dry run finds the same mistakes and prints the same lines.

Users, resources and what hangs on resources stay as they are.

Examples:

    gatehouse import policy policy.yaml --tenant ID --dry-run --prune
    gatehouse import policy policy.yaml --tenant ID --prune` + exitCodes
}

// errDryRun undoes the transaction of an import that is only to be looked at.
var errDryRun = errors.New("this is a dry run")

// Run imports the file.
func (c importPolicyCommand) Run(ctx context.Context, p *program) error {
	file, err := p.readPolicy(c.File)
	if err != nil {
		return err
	}
	e, err := p.open(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = e.Close() }()
	var difference []string
	_, err = e.Tenant(c.Tenant).Batch(ctx, func(t *engine.Tenant) (err error) {
		if difference, err = file.Apply(ctx, t, c.Prune); err == nil && c.DryRun {
			err = errDryRun
		}
		return err
	})
	if err != nil && !errors.Is(err, errDryRun) {
		return fmt.Errorf("importing %s: %w", c.File, err)
	}
	return p.printDifference(difference)
}

func (p *program) printDifference(difference []string) error {
	if len(difference) == 0 {
		_, err := fmt.Fprintln(p.stdout, "no difference")
		return err
	}
	var b strings.Builder
	for _, line := range difference {
		fmt.Fprintln(&b, printable(line))
	}
	_, err := io.WriteString(p.stdout, b.String())
	return err
}

type exportPolicyCommand struct {
	Tenant string `required:"" help:"The tenant whose policy it is." placeholder:"ID"`
}

// Help implements kong.HelpProvider.
func (exportPolicyCommand) Help() string {
	return `Standard output gets the file, in a form that depends on the policy alone: to import it makes no difference. It has no tests; those are for whoever keeps the file.

Example:

    gatehouse export policy --tenant ID > policy.yaml` + exitCodes
}

// Run exports the policy as it is at one moment.
func (c exportPolicyCommand) Run(ctx context.Context, p *program) error {
	e, err := p.open(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = e.Close() }()
	file, revision, err := readAtOnce(ctx, e.Tenant(c.Tenant))
	if err != nil {
		return fmt.Errorf("reading the policy: %w", err)
	}
	if revision == 0 {
		return fmt.Errorf("tenant %q does not exist: nothing was ever written to it", c.Tenant)
	}
	content, err := file.Marshal()
	if err != nil {
		return fmt.Errorf("writing the policy: %w", err)
	}
	_, err = p.stdout.Write(content)
	return err
}

// readAtOnce reads a tenant's policy as it is at one revision. It would take a batch to
// have that at once, but a batch keeps every tenant of a SQLite database from writing:
// so only a tenant that changes all the time is read in one.
func readAtOnce(ctx context.Context, t *engine.Tenant) (file policyfile.File, revision int64, err error) {
	for range 3 {
		if revision, err = revisionOf(ctx, t); err != nil {
			return file, 0, err
		}
		if file, err = policyfile.Read(ctx, t); err != nil {
			return file, 0, err
		}
		if after, err := revisionOf(ctx, t); err != nil || after == revision {
			return file, after, err
		}
	}
	_, err = t.Batch(ctx, func(t *engine.Tenant) (err error) {
		file, err = policyfile.Read(ctx, t)
		return err
	})
	return file, revision, err
}

func revisionOf(ctx context.Context, t *engine.Tenant) (int64, error) {
	list, err := t.Roles(ctx, authz.Page{Limit: 1})
	return list.Revision, err
}

type testPolicyCommand struct {
	File string `arg:"" help:"The policy file; see docs/policy.md."`
}

// Help implements kong.HelpProvider.
func (testPolicyCommand) Help() string {
	return `The tests are tried against the file alone, in a database that is thrown away; none is configured or asked. Standard output gets each that fails, with what was decided and why; one failing test ends with exit code 1.

Example:

    gatehouse test policy policy.yaml` + exitCodes
}

// Run tries the tests.
func (c testPolicyCommand) Run(ctx context.Context, p *program) error {
	file, err := p.readPolicy(c.File)
	if err != nil {
		return err
	}
	if len(file.Tests) == 0 {
		return usagef("%s: holds no tests", c.File)
	}
	failures, err := try(ctx, file)
	if err != nil {
		return fmt.Errorf("testing %s: %w", c.File, err)
	}
	var b strings.Builder
	for _, failure := range failures {
		fmt.Fprintf(&b, "%s, got %s", printable(failure.String()), report(failure.Decision, true))
	}
	fmt.Fprintf(&b, "%d of %d tests failed\n", len(failures), len(file.Tests))
	if _, err := io.WriteString(p.stdout, b.String()); err != nil {
		return fmt.Errorf("printing the failures: %w", err)
	}
	if len(failures) > 0 {
		return errSaidNo
	}
	return nil
}

// try puts the tests of a file to a tenant that holds the file and nothing else.
func try(ctx context.Context, file policyfile.File) ([]policyfile.Failure, error) {
	dir, err := os.MkdirTemp("", "gatehouse-policy-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	e, err := engine.Open(ctx, engine.Config{Database: "sqlite:" + filepath.Join(dir, "policy.sqlite3"), DisableAudit: true})
	if err != nil {
		return nil, err
	}
	defer func() { _ = e.Close() }()
	tenant := e.Tenant("policy")
	_, err = tenant.Batch(ctx, func(t *engine.Tenant) error {
		_, err := file.Apply(ctx, t, false)
		return err
	})
	if err != nil {
		return nil, err
	}
	return file.Try(ctx, tenant)
}

// readPolicy reads a policy file.
func (p *program) readPolicy(path string) (policyfile.File, error) {
	at := path
	if !filepath.IsAbs(at) {
		at = filepath.Join(p.dir, at)
	}
	content, err := os.ReadFile(at)
	if err != nil {
		return policyfile.File{}, fmt.Errorf("reading the policy: %w", err)
	}
	file, err := policyfile.Parse(content)
	if err != nil {
		return policyfile.File{}, fmt.Errorf("%s: %w", path, err)
	}
	return file, nil
}
