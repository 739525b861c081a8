package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/sdk"
)

// checkCommand asks a database or a server for one decision.
type checkCommand struct {
	User       string `arg:"" help:"Who would act."`
	Permission string `arg:"" help:"What they would do."`
	Resource   string `help:"What they would do it to: a resource, or an organization, project or team. Default: nothing in particular." placeholder:"TYPE:ID"`
	Context    string `help:"What else conditions may ask for, as a JSON object." placeholder:"JSON"`
	Explain    bool   `help:"Say why."`
	Tenant     string `required:"" xor:"place" help:"Ask the configured database about this tenant." placeholder:"ID"`
	Server     string `required:"" xor:"place" help:"Ask this server." placeholder:"URL"`
	KeyFile    string `help:"The file with the client key for the server. Default: standard input." placeholder:"PATH"`
}

// Help implements kong.HelpProvider.
func (checkCommand) Help() string {
	return `Standard output gets 'allowed' or 'denied' and, with --explain, a line for each grant that allowed, or for each that nearly did. 'denied' ends with exit code 1; so does a failure, which prints nothing there and one line on standard error.

The part of --resource before its first colon is the type.

Examples:

    gatehouse check alice@example.com post:edit --resource post:7 --explain --tenant ID
    gatehouse check bob report:run --server https://auth.example.com --key-file key
    gatehouse check bob report:run --context '{"ip":"192.0.2.1"}' --server http://127.0.0.1:8000 < key` + exitCodes
}

// Run asks and prints the answer.
func (c checkCommand) Run(ctx context.Context, p *program) error {
	request, err := c.request()
	if err != nil {
		return err
	}
	decision, err := c.decide(ctx, p, request)
	if err != nil {
		return fmt.Errorf("asking whether %s may %s: %w", c.User, c.Permission, err)
	}
	if _, err := fmt.Fprint(p.stdout, report(decision, c.Explain)); err != nil {
		return fmt.Errorf("printing the decision: %w", err)
	}
	if !decision.Allowed {
		return errSaidNo
	}
	return nil
}

// request is what the arguments ask.
func (c checkCommand) request() (authz.Request, error) {
	request := authz.Request{User: c.User, Permission: c.Permission, Explain: c.Explain}
	if c.Server == "" && c.KeyFile != "" {
		return request, usagef("--key-file: is for --server")
	}
	if c.Resource != "" {
		kind, id, found := strings.Cut(c.Resource, ":")
		if !found {
			return request, usagef("--resource: must be TYPE:ID, not %q", c.Resource)
		}
		request.Resource = &authz.RequestedResource{Node: authz.Node{Type: kind, ID: id}}
	}
	if c.Context != "" {
		// A null would pass for an object.
		if err := json.Unmarshal([]byte(c.Context), &request.Context); err != nil || request.Context == nil {
			return request, usagef("--context: must be a JSON object")
		}
	}
	return request, nil
}

// decide puts the request to the server or the database.
func (c checkCommand) decide(ctx context.Context, p *program, request authz.Request) (authz.Decision, error) {
	if c.Server != "" {
		key, err := p.readKey(c.KeyFile)
		if err != nil {
			return authz.Decision{}, err
		}
		client, err := sdk.New(c.Server, key, sdk.WithUserAgent("gatehouse/"+buildVersion()))
		if err != nil {
			return authz.Decision{}, err
		}
		return client.Check(ctx, request)
	}
	e, err := p.open(ctx)
	if err != nil {
		return authz.Decision{}, err
	}
	defer func() { _ = e.Close() }()
	return e.Tenant(c.Tenant).Check(ctx, request)
}

// readKey reads a client key from a file, or from standard input where path is
// empty. There is no argument for it: arguments are for every user to see.
func (p *program) readKey(path string) (string, error) {
	source := p.stdin
	if path == "" && isTerminal(p.stdin) {
		return "", usagef("the client key: must come from --key-file or standard input, which is a terminal that would show it")
	}
	if path != "" {
		if !filepath.IsAbs(path) {
			path = filepath.Join(p.dir, path)
		}
		file, err := os.Open(path)
		if err != nil {
			return "", fmt.Errorf("reading the client key: %w", err)
		}
		defer func() { _ = file.Close() }()
		source = file
	}
	const maxKey = 4096
	content, err := io.ReadAll(io.LimitReader(source, maxKey))
	if err != nil {
		return "", fmt.Errorf("reading the client key: %w", err)
	}
	return strings.TrimSpace(string(content)), nil
}

// report says how a decision came out and, where that was asked for, why.
func report(decision authz.Decision, explain bool) string {
	var b strings.Builder
	verdict := "denied"
	if decision.Allowed {
		verdict = "allowed"
	}
	fmt.Fprintln(&b, verdict)
	if !explain {
		return b.String()
	}
	for _, reason := range decision.Reasons {
		fmt.Fprintf(&b, "  %s\n", printable(sentence(reason)))
	}
	switch {
	case decision.Truncated:
		fmt.Fprintln(&b, "  and more than these")
	case len(decision.Reasons) == 0 && !decision.Allowed:
		fmt.Fprintln(&b, "  no role that the user holds there grants it")
	}
	if decision.Stale > 0 {
		fmt.Fprintf(&b, "  from memory: the database has been away for %s\n", decision.Stale)
	}
	if decision.Revision == 0 {
		fmt.Fprintln(&b, "  the tenant is empty: nothing was ever written to it")
	}
	return b.String()
}

// sentence says what one grant did for the decision.
func sentence(r authz.Reason) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s at %s", r.Role, r.At)
	if r.Group != "" {
		fmt.Fprintf(&b, ", by the group %s", r.Group)
	}
	if len(r.Inheritance) > 1 {
		fmt.Fprintf(&b, ", through %s", strings.Join(r.Inheritance[1:], " and "))
	}
	verb := "would grant"
	if r.Outcome == authz.Granted {
		verb = "grants"
	}
	fmt.Fprintf(&b, ", %s %s", verb, r.Permission)
	if r.Condition != "" {
		fmt.Fprintf(&b, " if %s", r.Condition)
	}
	b.WriteString(but(r))
	return b.String()
}

// but says what stood in the way of a grant.
func but(r authz.Reason) string {
	switch r.Outcome {
	case authz.Granted:
		return ""
	case authz.NotYetValid:
		return ", but the membership has not begun"
	case authz.Expired:
		return ", but the membership has ended"
	case authz.ConditionFalse:
		return ", but that is not so"
	case authz.ConditionFailed:
		return ", but that cannot be told: " + r.Error
	case authz.UserInactive:
		return ", but the user is not active"
	default:
		return ", but: " + string(r.Outcome)
	}
}
