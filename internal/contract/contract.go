// Package contract holds what every face of Gatehouse promises about roles,
// permissions, memberships, the hierarchy that they are held in, and their audit: one suite of tests, which the engine
// passes in process and the SDK over HTTP. Start at [Run].
package contract

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/internal/audit"
	"github.com/gatehouse/gatehouse/internal/fault"
)

// Service is one tenant, as the engine's Tenant and the SDK's Client show it.
type Service interface {
	AddRole(ctx context.Context, role string, options authz.RoleOptions) (authz.Written, error)
	DeleteRole(ctx context.Context, role string) (authz.Written, error)
	Roles(ctx context.Context, page authz.Page) (authz.List[authz.Role], error)

	AddPermission(ctx context.Context, role, permission string) (authz.Written, error)
	DeletePermission(ctx context.Context, role, permission string) (authz.Written, error)
	RoleHasPermission(ctx context.Context, role, permission string) (authz.Decision, error)
	RolePermissions(ctx context.Context, role string, page authz.Page) (authz.List[string], error)
	WhichRolesCan(ctx context.Context, permission string, page authz.Page) (authz.List[string], error)

	AddMembership(ctx context.Context, user, role string, window authz.Window) (authz.Written, error)
	DeleteMembership(ctx context.Context, user, role string) (authz.Written, error)
	HasMembership(ctx context.Context, user, role string) (authz.Decision, error)
	UserRoles(ctx context.Context, user string, page authz.Page) (authz.List[authz.Member], error)
	Members(ctx context.Context, role string, page authz.Page) (authz.List[authz.Member], error)

	UserHasPermission(ctx context.Context, user, permission string) (authz.Decision, error)
	UserPermissions(ctx context.Context, user string, page authz.Page) (authz.List[string], error)
	WhichUsersCan(ctx context.Context, permission string, page authz.Page) (authz.List[authz.Member], error)
	WorkflowUsers(ctx context.Context, workflow string, page authz.Page) (authz.List[authz.Member], error)
	UserCanRunWorkflow(ctx context.Context, user, workflow string) (authz.Decision, error)

	PutRole(ctx context.Context, role authz.RoleDetail) (authz.Written, error)
	Role(ctx context.Context, role string) (authz.Snapshot[authz.RoleDetail], error)
	PutGrant(ctx context.Context, role string, grant authz.Grant) (authz.Written, error)
	Grants(ctx context.Context, role string, page authz.Page) (authz.List[authz.Grant], error)

	PutScope(ctx context.Context, scope authz.Scope) (authz.Written, error)
	Scope(ctx context.Context, node authz.Node) (authz.Snapshot[authz.Scope], error)
	DeleteScope(ctx context.Context, node authz.Node) (authz.Written, error)
	Scopes(ctx context.Context, kind authz.Kind, parent authz.Node, page authz.Page) (authz.List[authz.Scope], error)

	PutResource(ctx context.Context, resource authz.Resource) (authz.Written, error)
	Resource(ctx context.Context, node authz.Node) (authz.Snapshot[authz.Resource], error)
	DeleteResource(ctx context.Context, node authz.Node) (authz.Written, error)
	Resources(ctx context.Context, resourceType string, page authz.Page) (authz.List[authz.Resource], error)

	PutMembership(ctx context.Context, membership authz.Membership) (authz.Written, error)
	RemoveMembership(ctx context.Context, subject authz.SubjectRef, role string, node authz.Node) (authz.Written, error)
	// NodeMembers is asked for scopes and resources only: REST has no such list of
	// the root.
	NodeMembers(ctx context.Context, node authz.Node, page authz.Page) (authz.List[authz.Membership], error)

	PutGroup(ctx context.Context, group authz.Group) (authz.Written, error)
	Group(ctx context.Context, group string) (authz.Snapshot[authz.Group], error)
	DeleteGroup(ctx context.Context, group string) (authz.Written, error)
	AddToGroup(ctx context.Context, group string, member authz.SubjectRef) (authz.Written, error)
	RemoveFromGroup(ctx context.Context, group string, member authz.SubjectRef) (authz.Written, error)

	PutUser(ctx context.Context, user authz.User) (authz.Written, error)
	User(ctx context.Context, user string) (authz.Snapshot[authz.User], error)
	DeleteUser(ctx context.Context, user string) (authz.Written, error)

	PutTool(ctx context.Context, tool authz.Tool) (authz.Written, error)
	Tool(ctx context.Context, tool string) (authz.Snapshot[authz.Tool], error)
	DeleteTool(ctx context.Context, tool string) (authz.Written, error)
	Tools(ctx context.Context, page authz.Page) (authz.List[authz.Tool], error)
	Permissions(ctx context.Context, page authz.Page) (authz.List[authz.CatalogueEntry], error)
	PutSettings(ctx context.Context, settings authz.Settings) (authz.Written, error)
	Settings(ctx context.Context) (authz.Snapshot[authz.Settings], error)

	Check(ctx context.Context, request authz.Request) (authz.Decision, error)
	CheckBatch(ctx context.Context, requests []authz.Request) ([]authz.Decision, error)
	// Subjects and Actions are asked about resources only: AuthZEN knows no root.
	Subjects(ctx context.Context, request authz.Request, page authz.Page) (authz.List[string], error)
	ResourcesFor(ctx context.Context, request authz.Request, resourceType string, page authz.Page) (authz.List[string], error)
	Actions(ctx context.Context, request authz.Request, page authz.Page) (authz.List[string], error)
	Changes(ctx context.Context, after int64, page authz.Page) (authz.List[authz.Change], error)

	AuditEvents(ctx context.Context, filter audit.Filter, page authz.Page) (authz.List[audit.Event], error)
	// LoggedDecisions has all decisions: the services are told to log them.
	LoggedDecisions(ctx context.Context, filter authz.DecisionFilter, page authz.Page) (authz.List[authz.LoggedDecision], error)
}

// Option says what the services under test can do beyond the least.
type Option func(*suite)

// WithClock runs the tests that need time to pass. The services must read the
// time from clock alone.
func WithClock(clock *Clock) Option {
	return func(s *suite) { s.clock = clock }
}

// AdditionsTellChanged also checks Written.Changed where something is added
// again. REST answers such a request like the first.
func AdditionsTellChanged() Option {
	return func(s *suite) { s.additionsTellChanged = true }
}

// Clock is a clock that stands still until it is moved.
type Clock struct {
	mu  sync.Mutex
	now time.Time
}

// NewClock returns a clock that shows the given time.
func NewClock(now time.Time) *Clock { return &Clock{now: now} }

// Now returns the clock's time.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Advance moves the clock.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

type suite struct {
	open                 func(*testing.T) Service
	clock                *Clock
	additionsTellChanged bool
}

// Run tests services. Each call of open gives a new, empty tenant; all of them
// belong to one installation, and are used in parallel.
func Run(t *testing.T, open func(t *testing.T) Service, options ...Option) {
	s := &suite{open: open}
	for _, option := range options {
		option(s)
	}
	// What moves the clock runs first and alone.
	if s.clock != nil {
		s.run(t, s.clocked())
	}
	for _, topic := range []map[string]func(*testing.T, tenant){
		s.roles(), s.permissions(), s.memberships(), s.decisions(), s.names(), s.lists(), s.revisions(), s.audit(), s.decisionLog(), s.parallel(), s.isolation(),
		s.inheritance(), s.conditions(), s.scopes(), s.resources(), s.placed(), s.groups(), s.users(), s.searches(), s.catalogue(), s.model(),
	} {
		for name, test := range topic {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				test(t, s.tenant(t))
			})
		}
	}
}

func (s *suite) run(t *testing.T, tests map[string]func(*testing.T, tenant)) {
	for name, test := range tests {
		t.Run(name, func(t *testing.T) { test(t, s.tenant(t)) })
	}
}

// tenant is a Service whose failures end the test. What the test is to see fail it
// asks of the Service itself.
type tenant struct {
	Service
	t     *testing.T
	suite *suite
}

func (s *suite) tenant(t *testing.T) tenant { return tenant{s.open(t), t, s} }

func (x tenant) ctx() context.Context { return x.t.Context() }

// addRole and its like make a change that is new, and return its revision.
func (x tenant) addRole(role string) int64 {
	x.t.Helper()
	return x.changed(x.AddRole(x.ctx(), role, authz.RoleOptions{}))
}

func (x tenant) grant(role, permission string) int64 {
	x.t.Helper()
	return x.changed(x.AddPermission(x.ctx(), role, permission))
}

func (x tenant) join(user, role string) int64 {
	x.t.Helper()
	return x.changed(x.AddMembership(x.ctx(), user, role, authz.Window{}))
}

// changed checks a change that had something to do.
func (x tenant) changed(written authz.Written, err error) int64 {
	x.t.Helper()
	if err != nil {
		x.t.Fatalf("change: %v", err)
	}
	if !written.Changed || written.Revision < 1 {
		x.t.Errorf("change: got %+v, want Changed at a revision above 0", written)
	}
	return written.Revision
}

// absent checks a deletion that had nothing to do.
func (x tenant) absent(written authz.Written, err error) {
	x.t.Helper()
	if err != nil {
		x.t.Fatalf("delete what is not there: %v", err)
	}
	if written.Changed {
		x.t.Errorf("delete what is not there: got %+v, want no change", written)
	}
}

// repeated checks an addition that had nothing to do.
func (x tenant) repeated(written authz.Written, err error) {
	x.t.Helper()
	if err != nil {
		x.t.Fatalf("add again: %v", err)
	}
	if want := !x.suite.additionsTellChanged; written.Changed != want {
		x.t.Errorf("add again: got %+v, want Changed %v", written, want)
	}
}

// allows and denies check an answer to a yes-or-no question.
func (x tenant) allows(decision authz.Decision, err error) {
	x.t.Helper()
	x.decides(true, decision, err)
}
func (x tenant) denies(decision authz.Decision, err error) {
	x.t.Helper()
	x.decides(false, decision, err)
}

func (x tenant) decides(want bool, decision authz.Decision, err error) {
	x.t.Helper()
	if err != nil {
		x.t.Fatalf("ask: %v", err)
	}
	if decision.Allowed != want {
		x.t.Errorf("ask: got %v, want %v", decision.Allowed, want)
	}
}

// revision is the tenant's, as a list tells it.
func (x tenant) revision() int64 {
	x.t.Helper()
	list, err := x.Roles(x.ctx(), authz.Page{Limit: 1})
	if err != nil {
		x.t.Fatalf("read the revision: %v", err)
	}
	return list.Revision
}

// The lists, from all pages.

func (x tenant) roleNames() []string {
	x.t.Helper()
	var names []string
	for _, role := range all(x, x.Roles) {
		names = append(names, role.Name)
	}
	return names
}

func (x tenant) rolePermissions(role string) []string {
	x.t.Helper()
	return all(x, of(x.RolePermissions, role))
}

func (x tenant) whichRolesCan(permission string) []string {
	x.t.Helper()
	return all(x, of(x.WhichRolesCan, permission))
}

func (x tenant) userRoles(user string) []authz.Member {
	x.t.Helper()
	return all(x, of(x.UserRoles, user))
}

func (x tenant) members(role string) []authz.Member {
	x.t.Helper()
	return all(x, of(x.Members, role))
}

func (x tenant) userPermissions(user string) []string {
	x.t.Helper()
	return all(x, of(x.UserPermissions, user))
}

func (x tenant) whichUsersCan(permission string) []authz.Member {
	x.t.Helper()
	return all(x, of(x.WhichUsersCan, permission))
}

func (x tenant) workflowUsers(workflow string) []authz.Member {
	x.t.Helper()
	return all(x, of(x.WorkflowUsers, workflow))
}

// events lists the audit log, newest first, without what tells of client keys:
// some services open their tenant with one.
func (x tenant) events(filter audit.Filter) []audit.Event {
	x.t.Helper()
	var events []audit.Event
	for _, event := range all(x, of(x.AuditEvents, filter)) {
		if event.Action != audit.ClientKeyCreated {
			events = append(events, event)
		}
	}
	return events
}

// lister is a list that asks for nothing but a page.
type lister[T any] = func(context.Context, authz.Page) (authz.List[T], error)

// of makes a lister of one that asks about something.
func of[A, T any](list func(context.Context, A, authz.Page) (authz.List[T], error), about A) lister[T] {
	return func(ctx context.Context, page authz.Page) (authz.List[T], error) { return list(ctx, about, page) }
}

// all reads a list to its end.
func all[T any](x tenant, list lister[T]) []T {
	x.t.Helper()
	var items []T
	for item, err := range authz.All(func(page authz.Page) (authz.List[T], error) { return list(x.ctx(), page) }) {
		if err != nil {
			x.t.Fatalf("list: %v", err)
		}
		items = append(items, item)
	}
	return items
}

// equal compares; an empty list and none are the same.
func equal[T any](t *testing.T, what string, got, want []T) {
	t.Helper()
	if len(got)+len(want) > 0 && !reflect.DeepEqual(got, want) {
		t.Errorf("%s: got %+v, want %+v", what, got, want)
	}
}

// same compares.
func same[T any](t *testing.T, what string, got, want T) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s: got %+v, want %+v", what, got, want)
	}
}

// value is what a snapshot of something that is there holds.
func value[T any](x tenant) func(authz.Snapshot[T], error) T {
	return func(snapshot authz.Snapshot[T], err error) T {
		x.t.Helper()
		if err != nil {
			x.t.Fatalf("read: %v", err)
		}
		if snapshot.Revision < 1 {
			x.t.Errorf("read: got revision %d, want one above 0", snapshot.Revision)
		}
		return snapshot.Value
	}
}

// tells checks an error's kind, and that its words hold a part.
func tells(t *testing.T, what string, err error, want fault.Code, part string) {
	t.Helper()
	fails(t, what, err, want)
	if err != nil && !strings.Contains(err.Error(), part) {
		t.Errorf("%s: got error %q, want it to hold %q", what, err, part)
	}
}

// fails checks an error's kind.
func fails(t *testing.T, what string, err error, want fault.Code) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: got error %v, want %q", what, err, want.Error())
	}
}
