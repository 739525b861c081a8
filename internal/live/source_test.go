package live_test

import (
	"context"
	"errors"
	"math"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/internal/fault"
	"github.com/gatehouse/gatehouse/internal/live"
	"github.com/gatehouse/gatehouse/internal/store"
)

// source is a database in memory. A View sees one state of one tenant.
type source struct {
	mu      sync.Mutex
	tenants map[string]*state
	// failing is what every call returns, where it is not nil.
	failing error
	// hanging, where it is not nil, keeps calls until it is closed or they are given up.
	hanging chan struct{}
	// inView runs in each View, after its snapshot was taken and before it is read;
	// hasRead after it was read.
	inView, hasRead func()

	// What was read, by name.
	reads map[string]int
}

// state is a tenant at a revision.
type state struct {
	revision int64
	changes  []authz.Change
	roles    map[string]authz.RoleSpec
	holdings map[string][]authz.Holding
	users    map[string]authz.User
	nodes    map[authz.Node]store.NodeRecord
}

func newSource() *source {
	return &source{tenants: map[string]*state{}, reads: map[string]int{}}
}

// write makes a change that touches what the keys say, and returns its revision.
func (s *source) write(tenant string, change func(*state), touched ...authz.Change) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := s.tenant(tenant)
	next.revision++
	if change != nil {
		change(&next)
	}
	for _, c := range touched {
		c.Revision = next.revision
		next.changes = append(next.changes, c)
	}
	s.tenants[tenant] = &next
	return next.revision
}

// tenant copies a tenant's state. s.mu is held.
func (s *source) tenant(id string) state {
	now := s.tenants[id]
	if now == nil {
		now = &state{}
	}
	return state{
		revision: now.revision, changes: slices.Clone(now.changes), roles: clone(now.roles),
		holdings: clone(now.holdings), users: clone(now.users), nodes: clone(now.nodes),
	}
}

func clone[K comparable, V any](from map[K]V) map[K]V {
	to := make(map[K]V, len(from))
	for k, v := range from {
		to[k] = v
	}
	return to
}

// save returns a function that restores the tenant as it is now.
func (s *source) save(tenant string) (restore func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	saved := s.tenant(tenant)
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.tenants[tenant] = &saved
	}
}

// set changes how the source behaves.
func (s *source) set(change func(*source)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s)
}

// count is how often something was read.
func (s *source) count(what string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reads[what]
}

func (s *source) noteRead(what string) { s.set(func(s *source) { s.reads[what]++ }) }

// answer fails or hangs, as the source was told to.
func (s *source) answer(ctx context.Context) error {
	s.mu.Lock()
	failing, hanging := s.failing, s.hanging
	s.mu.Unlock()
	if hanging != nil {
		select {
		case <-hanging:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return failing
}

func (s *source) View(ctx context.Context, tenant string, fn func(store.Reader) error) error {
	s.noteRead("views")
	if err := s.answer(ctx); err != nil {
		return err
	}
	s.mu.Lock()
	snapshot, inView, hasRead := s.tenant(tenant), s.inView, s.hasRead
	s.mu.Unlock()
	if inView != nil {
		inView()
	}
	err := fn(reader{source: s, state: snapshot})
	if hasRead != nil {
		hasRead()
	}
	return err
}

func (s *source) Revisions(ctx context.Context, tenants []string) (map[string]int64, error) {
	s.noteRead("polls")
	if err := s.answer(ctx); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	revisions := map[string]int64{}
	for _, id := range tenants {
		if now := s.tenants[id]; now != nil {
			revisions[id] = now.revision
		}
	}
	return revisions, nil
}

// reader reads a snapshot. What the cache has no use for is not there.
type reader struct {
	store.Reader
	source *source
	state  state
}

func (r reader) Revision(context.Context) (int64, error) { return r.state.revision, nil }

func (r reader) Policy(context.Context) ([]authz.RoleSpec, error) {
	r.source.noteRead("policy")
	var specs []authz.RoleSpec
	for _, spec := range r.state.roles {
		specs = append(specs, spec)
	}
	return specs, nil
}

func (r reader) Holdings(_ context.Context, user string) ([]authz.Holding, error) {
	r.source.noteRead("user " + user)
	return r.state.holdings[user], nil
}

func (r reader) User(_ context.Context, name string) (authz.User, bool, error) {
	user, ok := r.state.users[name]
	return user, ok, nil
}

func (r reader) Node(_ context.Context, node authz.Node) (store.NodeRecord, bool, error) {
	r.source.noteRead("node " + node.String())
	record, ok := r.state.nodes[node]
	return record, ok, nil
}

func (r reader) Changes(_ context.Context, after int64, limit int) ([]authz.Change, error) {
	var changes []authz.Change
	for _, c := range r.state.changes {
		if c.Revision > after && len(changes) < limit {
			changes = append(changes, c)
		}
	}
	return changes, nil
}

// The things that the tests write.

const tenant = "acme"

var errDown = fault.Unavailable(errors.New("connection refused"), "the database does not answer")

func open(t *testing.T, s *source, cfg live.Config) *live.Live {
	t.Helper()
	l, err := live.New(s, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	return l
}

// give makes a user hold a role at a node from now on, and says so under a key.
func (s *source) give(user, role string, node authz.Node, key string) int64 {
	return s.write(tenant, func(next *state) {
		h := authz.Holding{Role: role, Node: node, ExpiresAtMicros: math.MaxInt64}
		next.holdings[user] = append(slices.Clone(next.holdings[user]), h)
	}, authz.Change{Kind: store.KindMembership, Key: key})
}

// seen is what one question found.
type seen struct {
	basis live.Basis
	roles int
	node  *store.NodeRecord
}

// rolesOf counts the roles that a user holds at the root.
func rolesOf(l *live.Live, user string) (seen, error) { return rolesAtLeast(l, 0, user) }

func rolesAtLeast(l *live.Live, least int64, user string) (seen, error) {
	var s seen
	basis, err := l.Ask(context.Background(), tenant, least, func(v *live.View) error {
		subject, err := v.Subject(user)
		if err == nil {
			s.roles = len(subject.RolesHeld(authz.Root, 0))
		}
		return err
	})
	s.basis = basis
	return s, err
}

func wantRoles(t *testing.T, l *live.Live, user string, roles int, revision int64) {
	t.Helper()
	got, err := rolesOf(l, user)
	if err != nil || got.roles != roles || got.basis.Revision != revision {
		t.Errorf("%s: got %+v, %v, want %d roles at revision %d", user, got, err, roles, revision)
	}
}

func nodeOf(l *live.Live, node authz.Node) (seen, error) {
	var s seen
	basis, err := l.Ask(context.Background(), tenant, 0, func(v *live.View) (err error) {
		s.node, err = v.Node(node)
		return err
	})
	s.basis = basis
	return s, err
}

// grantAll grants a permission to everyone.
func (s *source) grantAll(permission string) int64 {
	return s.write(tenant, func(next *state) {
		next.roles[authz.Everyone] = authz.RoleSpec{Name: authz.Everyone, Grants: []authz.Grant{{Permission: permission}}}
	}, authz.Change{Kind: store.KindPermission, Key: "%40everyone/" + permission})
}

func touched(kind, key string) []authz.Change { return []authz.Change{{Kind: kind, Key: key}} }

func numbered(prefix string, n int) string { return prefix + strconv.Itoa(n) }

// pollEvery is the poll of the tests, the default.
const pollEvery = time.Second
