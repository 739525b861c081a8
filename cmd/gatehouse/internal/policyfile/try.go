package policyfile

import (
	"context"
	"fmt"
	"strings"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/engine"
)

// Failure is a test whose decision was not the one that it wants.
type Failure struct {
	// Line is the test's in the file.
	Line int
	Test Test
	// Decision is what came out, with its reasons.
	Decision authz.Decision
}

// String says what was asked, and what was wanted.
func (f Failure) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "line %d: %s %s", f.Line, f.Test.User, f.Test.Permission)
	if r := f.Test.Resource; r != nil {
		fmt.Fprintf(&b, " on %s:%s", r.Type, r.ID)
	}
	fmt.Fprintf(&b, ": want %s", f.Test.Want)
	return b.String()
}

// Try puts the file's tests to a tenant, in their order. An error is of a test that
// asks nothing that could be decided.
func (f File) Try(ctx context.Context, t *engine.Tenant) ([]Failure, error) {
	var failures []Failure
	for i, test := range f.Tests {
		at := path{"tests"}.to(i)
		decision, err := t.Check(ctx, test.request())
		if err != nil {
			return nil, f.locate(at, err)
		}
		if decision.Allowed != (test.Want == Allowed) {
			failures = append(failures, Failure{Line: f.lines.of(at), Test: test, Decision: decision})
		}
	}
	return failures, nil
}

func (test Test) request() authz.Request {
	request := authz.Request{
		User: test.User, Permission: test.Permission, Explain: true,
		UserProperties: test.UserProperties, ActionProperties: test.ActionProperties, Context: test.Context,
	}
	if r := test.Resource; r != nil {
		request.Resource = &authz.RequestedResource{
			Node: authz.Node{Type: r.Type, ID: r.ID}, Owner: r.Owner, Parent: r.Parent.node(), Properties: r.Properties,
		}
	}
	return request
}
