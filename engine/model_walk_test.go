package engine_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/internal/contract"
	"github.com/gatehouse/gatehouse/internal/fault"
	"github.com/gatehouse/gatehouse/internal/pgtest"
)

const (
	walkSeeds = 20
	walkSteps = 300
	// walkAsk is how many changes are made between two rounds of questions.
	walkAsk = 4
)

func TestEveryAnswerIsTheModelsOnSQLite(t *testing.T) {
	t.Parallel()
	testModel(t, filepath.Join(t.TempDir(), "gatehouse.sqlite3"))
}

func TestEveryAnswerIsTheModelsOnPostgreSQL(t *testing.T) {
	t.Parallel()
	testModel(t, pgtest.URL(t))
}

// testModel makes random changes through one engine and compares what it answers,
// and what a second engine on the same database answers, with a model.
func testModel(t *testing.T, database string) {
	clock := contract.NewClock(time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC))
	open := func() *engine.Engine {
		e, err := engine.Open(t.Context(), engine.Config{Database: database, AutoMigrate: true, Now: clock.Now})
		if err != nil {
			t.Fatalf("open the engine: %v", err)
		}
		t.Cleanup(func() {
			if err := e.Close(); err != nil {
				t.Errorf("close the engine: %v", err)
			}
		})
		return e
	}
	writer, other := open(), open()
	for seed := range uint64(walkSeeds) {
		id := uuid.NewString()
		w := &walk{
			T: t, seed: seed, rand: rand.New(rand.NewPCG(seed, 3)), clock: clock,
			model: newModel(), tenant: writer.Tenant(id), other: other.Tenant(id),
		}
		for w.step = range walkSteps {
			w.change()
			if w.step%walkAsk == 0 {
				w.ask(w.tenant, "the engine that wrote")
				w.ask(w.other.AtLeast(w.revision), "another engine")
			}
			if t.Failed() {
				return
			}
		}
	}
}

// walk is a random sequence of changes of one tenant.
type walk struct {
	*testing.T
	seed  uint64
	step  int
	rand  *rand.Rand
	clock *contract.Clock

	model *model
	// tenant is what the changes go to, and other the same one of another engine.
	tenant, other *engine.Tenant
	// revision is that of the last change.
	revision int64
}

// The names of a walk are few, so that changes meet; some need escaping.
var (
	walkUsers       = []string{"alice", "bob/b", "50%", "Zoë"}
	walkGroups      = []string{"g0", "g/1", "g%2"}
	walkRoles       = []string{"r0", "r1", "r2", "r3"}
	walkAsked       = []string{"a", "a:b", "a:b:c", "b", "c/d"}
	walkGranted     = []string{"a", "a:b", "a:b:c", "b", "c/d", "a:*", "a:b:*", "*"}
	walkConditions  = []string{"", "", "true", "false", "context.ok == true", "resource.properties.open == true", "subject.properties.vip == true"}
	walkScopes      = []authz.Node{{Type: "organization", ID: "o0"}, {Type: "organization", ID: "o/1"}, {Type: "project", ID: "p0"}, {Type: "project", ID: "p%1"}, {Type: "team", ID: "t0"}, {Type: "team", ID: "members"}}
	walkResources   = []authz.Node{{Type: "post", ID: "1"}, {Type: "post", ID: "2/3"}, {Type: "tenant", ID: "x"}, {Type: "a:b", ID: "c"}}
	walkKinds       = []authz.Kind{authz.KindTenant, authz.KindOrganization, authz.KindProject, authz.KindTeam, authz.KindResource}
	walkResourceTop = append([]authz.Node{authz.Root}, walkScopes...)
	walkNodes       = slices.Concat([]authz.Node{authz.Root, authz.Root}, walkScopes, walkResources)
)

func pick[T any](w *walk, from []T) T { return from[w.rand.IntN(len(from))] }

func (w *walk) chance(oneIn int) bool { return w.rand.IntN(oneIn) == 0 }

func (w *walk) user() string { return pick(w, walkUsers) }

func (w *walk) subject() authz.SubjectRef {
	if w.chance(2) {
		return groupRef(pick(w, walkGroups))
	}
	return userRef(w.user())
}

func (w *walk) role() string {
	if w.chance(6) {
		return pick(w, []string{authz.Owner, authz.Everyone})
	}
	return pick(w, walkRoles)
}

// window is mostly open, and else bounded near the clock's time.
func (w *walk) window() authz.Window {
	var window authz.Window
	now := w.clock.Now()
	if w.chance(4) {
		window.NotBefore = now.Add(time.Duration(w.rand.IntN(7)-3) * time.Minute)
	}
	if w.chance(4) {
		window.ExpiresAt = now.Add(time.Duration(w.rand.IntN(10)-2) * time.Minute)
	}
	if !window.ExpiresAt.IsZero() && !window.ExpiresAt.After(window.NotBefore) {
		window.ExpiresAt = window.NotBefore.Add(time.Minute)
	}
	return window
}

func (w *walk) properties(name string) map[string]any {
	switch w.rand.IntN(3) {
	case 0:
		return map[string]any{name: true}
	case 1:
		return map[string]any{name: false}
	default:
		return nil
	}
}

// scopeParent is a node of the kind that scopes like the given one hang under; it
// need not exist.
func (w *walk) scopeParent(node authz.Node) authz.Node {
	kind, err := authz.ParentKind(node.Kind())
	if err != nil {
		w.Fatal(err)
	}
	if kind == authz.KindTenant {
		return authz.Root
	}
	return pick(w, slices.DeleteFunc(slices.Clone(walkScopes), func(n authz.Node) bool { return n.Kind() != kind }))
}

// change makes one random change, and holds its outcome against the model's.
func (w *walk) change() {
	w.Helper()
	ctx, m, t := w.Context(), w.model, w.tenant
	if w.chance(10) {
		w.clock.Advance(time.Minute)
	}
	switch w.rand.IntN(26) {
	case 0, 1, 2:
		role := authz.RoleDetail{Name: pick(w, walkRoles)}
		for _, parent := range walkRoles {
			if w.chance(5) {
				role.Inherits = append(role.Inherits, parent)
			}
		}
		if w.chance(5) {
			role.Scopes = once2(pick(w, walkKinds), pick(w, walkKinds))
		}
		got, err := t.PutRole(ctx, role)
		w.outcome(fmt.Sprintf("PutRole(%+v)", role), got, err, m.putRole(role))
	case 3, 4, 5:
		role, grant := w.role(), authz.Grant{Permission: pick(w, walkGranted), Condition: pick(w, walkConditions)}
		got, err := t.PutGrant(ctx, role, grant)
		w.outcome(fmt.Sprintf("PutGrant(%s, %+v)", role, grant), got, err, m.putGrant(role, grant))
	case 6:
		role, permission := w.role(), pick(w, walkGranted)
		got, err := t.AddPermission(ctx, role, permission)
		w.outcome(fmt.Sprintf("AddPermission(%s, %s)", role, permission), got, err, m.addPermission(role, permission))
	case 7:
		role, permission := w.role(), pick(w, walkGranted)
		got, err := t.DeletePermission(ctx, role, permission)
		w.outcome(fmt.Sprintf("DeletePermission(%s, %s)", role, permission), got, err, m.deletePermission(role, permission))
	case 8, 9:
		node := pick(w, walkScopes)
		parent := w.scopeParent(node)
		got, err := t.PutScope(ctx, authz.Scope{Node: node, Parent: parent})
		w.outcome(fmt.Sprintf("PutScope(%s under %s)", node, parent), got, err, m.putNode(node, placed{parent: parent}))
	case 10, 11:
		node, stored := pick(w, walkResources), placed{parent: pick(w, walkResourceTop), properties: w.properties("open")}
		if w.chance(2) {
			stored.owner = w.user()
		}
		got, err := t.PutResource(ctx, authz.Resource{Node: node, Parent: stored.parent, Owner: stored.owner, Properties: stored.properties})
		w.outcome(fmt.Sprintf("PutResource(%s, %+v)", node, stored), got, err, m.putNode(node, stored))
	case 12, 13, 14, 15:
		membership := authz.Membership{Subject: w.subject(), Role: pick(w, walkRoles), Node: pick(w, walkNodes), Window: w.window()}
		got, err := t.PutMembership(ctx, membership)
		w.outcome(fmt.Sprintf("PutMembership(%+v)", membership), got, err, m.putMembership(membership))
	case 23, 24:
		node := pick(w, walkResources)
		got, err := t.DeleteResource(ctx, node)
		w.outcome("DeleteResource "+node.String(), got, err, m.deleteNode(node))
	case 25:
		w.delete()
	case 16:
		key := held{w.subject(), pick(w, walkRoles), pick(w, walkNodes)}
		got, err := t.RemoveMembership(ctx, key.subject, key.role, key.node)
		w.outcome(fmt.Sprintf("RemoveMembership(%+v)", key), got, err, m.removeMembership(key))
	case 17:
		group := authz.Group{Name: pick(w, walkGroups), Description: pick(w, []string{"", "of writers"})}
		got, err := t.PutGroup(ctx, group)
		w.outcome(fmt.Sprintf("PutGroup(%+v)", group), got, err, m.putGroup(group))
	case 18, 19:
		group, member := pick(w, walkGroups), w.subject()
		got, err := t.AddToGroup(ctx, group, member)
		w.outcome(fmt.Sprintf("AddToGroup(%s, %+v)", group, member), got, err, m.addToGroup(group, member))
	case 20:
		group, member := pick(w, walkGroups), w.subject()
		got, err := t.RemoveFromGroup(ctx, group, member)
		w.outcome(fmt.Sprintf("RemoveFromGroup(%s, %+v)", group, member), got, err, m.removeFromGroup(group, member))
	case 21, 22:
		user := authz.User{Name: w.user(), Inactive: w.chance(3), Properties: w.properties("vip")}
		got, err := t.PutUser(ctx, user)
		w.outcome(fmt.Sprintf("PutUser(%+v)", user), got, err, m.putUser(user))
	}
}

// delete deletes something with all that hangs on it.
func (w *walk) delete() {
	w.Helper()
	ctx, m, t := w.Context(), w.model, w.tenant
	switch w.rand.IntN(4) {
	case 0:
		role := pick(w, walkRoles)
		got, err := t.DeleteRole(ctx, role)
		w.outcome("DeleteRole "+role, got, err, m.deleteRole(role))
	case 1:
		node := pick(w, walkScopes)
		got, err := t.DeleteScope(ctx, node)
		w.outcome("DeleteScope "+node.String(), got, err, m.deleteNode(node))
	case 2:
		group := pick(w, walkGroups)
		got, err := t.DeleteGroup(ctx, group)
		w.outcome("DeleteGroup "+group, got, err, m.deleteGroup(group))
	case 3:
		user := w.user()
		got, err := t.DeleteUser(ctx, user)
		w.outcome("DeleteUser "+user, got, err, m.deleteUser(user))
	}
}

// outcome holds what a change came to against what the model says. A change that
// does nothing raises no revision.
func (w *walk) outcome(what string, got authz.Written, err error, want outcome) {
	w.Helper()
	if want.refused != fault.CodeInternal {
		if !errors.Is(err, want.refused) {
			w.Fatalf("seed %d, step %d: %s: got %+v, %v, want %v", w.seed, w.step, what, got, err, want.refused)
		}
		return
	}
	revision := w.revision
	if want.changed {
		revision++
	}
	if err != nil || got.Changed != want.changed || got.Revision != revision {
		w.Fatalf("seed %d, step %d: %s: got %+v, %v, want changed %t at revision %d", w.seed, w.step, what, got, err, want.changed, revision)
	}
	w.revision = revision
}

// requests asks at the root, at every node, and about things that are not stored.
func (w *walk) requests() []authz.Request {
	resources := []*authz.RequestedResource{nil}
	for _, node := range slices.Concat(walkScopes, walkResources, []authz.Node{{Type: "post", ID: "unknown"}}) {
		resources = append(resources, &authz.RequestedResource{
			Node: node, Owner: w.user(), Parent: pick(w, walkResourceTop), Properties: w.properties("open"),
		})
	}
	var requests []authz.Request
	for _, resource := range resources {
		for range 3 {
			request := authz.Request{User: w.user(), Permission: pick(w, walkAsked), Resource: resource, Explain: w.chance(2)}
			if w.chance(2) {
				request.Context = map[string]any{"ok": w.chance(2)}
			}
			if w.chance(3) {
				request.UserProperties = w.properties("vip")
			}
			requests = append(requests, request)
		}
	}
	return requests
}

// ask compares every kind of answer with the model's.
func (w *walk) ask(t *engine.Tenant, whose string) {
	w.Helper()
	ctx, now := w.Context(), w.clock.Now()
	requests := w.requests()
	batch, err := t.CheckBatch(ctx, requests)
	if err != nil {
		w.Fatalf("seed %d, step %d: %s: CheckBatch: %v", w.seed, w.step, whose, err)
	}
	for i, request := range requests {
		w.decision(whose, request, "batch", batch[i], nil)
		if i%2 == 0 {
			got, err := t.Check(ctx, request)
			w.decision(whose, request, "check", got, err)
		}
	}
	user, role, permission := w.user(), pick(w, walkRoles), pick(w, walkAsked)
	m := w.model
	whole := func(list func(authz.Page) (authz.List[string], error)) []string { return collect(w, list) }
	pairs := func(list func(authz.Page) (authz.List[authz.Member], error)) []authz.Member { return collect(w, list) }

	has, err := t.UserHasPermission(ctx, user, permission)
	w.decision(whose, authz.Request{User: user, Permission: permission}, "UserHasPermission", has, err)
	holds, err := t.RoleHasPermission(ctx, role, permission)
	same(w, whose, "RoleHasPermission "+role+" "+permission, []bool{holds.Allowed}, []bool{m.roleHolds(role, permission)}, err)
	belongs, err := t.HasMembership(ctx, user, role)
	same(w, whose, "HasMembership "+user+" "+role, []bool{belongs.Allowed}, []bool{slices.Contains(m.rolesAtRoot(user, now), role)}, err)

	same(w, whose, "RolePermissions "+role, whole(func(p authz.Page) (authz.List[string], error) { return t.RolePermissions(ctx, role, p) }), m.rolePermissions(role), nil)
	same(w, whose, "UserPermissions "+user, whole(func(p authz.Page) (authz.List[string], error) { return t.UserPermissions(ctx, user, p) }), m.userPermissions(user, now), nil)
	same(w, whose, "WhichRolesCan "+permission, whole(func(p authz.Page) (authz.List[string], error) { return t.WhichRolesCan(ctx, permission, p) }), m.rolesThatCan(permission), nil)
	same(w, whose, "UserRoles "+user, pairs(func(p authz.Page) (authz.List[authz.Member], error) { return t.UserRoles(ctx, user, p) }), m.members([]string{user}, walkRoles, false, now), nil)
	same(w, whose, "Members "+role, pairs(func(p authz.Page) (authz.List[authz.Member], error) { return t.Members(ctx, role, p) }), m.members(walkUsers, []string{role}, false, now), nil)
	same(w, whose, "WhichUsersCan "+permission, pairs(func(p authz.Page) (authz.List[authz.Member], error) { return t.WhichUsersCan(ctx, permission, p) }), m.members(walkUsers, m.rolesThatCan(permission), true, now), nil)
}

// decision compares one decision, and its reasons where they were asked for.
func (w *walk) decision(whose string, request authz.Request, how string, got authz.Decision, err error) {
	w.Helper()
	want := w.model.ways(request, w.clock.Now())
	if err != nil || got.Allowed != (len(want) > 0) || got.Revision != w.revision {
		w.Fatalf("seed %d, step %d: %s: %s of %+v about %+v: got %+v, %v, want %t at revision %d by %q",
			w.seed, w.step, whose, how, request, request.Resource, got, err, len(want) > 0, w.revision, want)
	}
	var ways []string
	for _, reason := range got.Reasons {
		if (reason.Outcome == authz.Granted) != got.Allowed {
			w.Fatalf("seed %d, step %d: %s: %s of %+v: reason %+v of a decision that is %t", w.seed, w.step, whose, how, request, reason, got.Allowed)
		}
		if reason.Outcome == authz.Granted {
			granting := slices.Concat([]string{reason.Role}, reason.Inheritance)
			ways = append(ways, way(reason.Role, reason.At, reason.Group, granting[len(granting)-1], reason.Permission))
		}
	}
	slices.Sort(ways)
	if request.Explain && !slices.Equal(ways, want) {
		w.Fatalf("seed %d, step %d: %s: reasons of %+v about %+v: got %q, want %q", w.seed, w.step, whose, request, request.Resource, ways, want)
	}
}

// collect reads a list in pages of two.
func collect[T any](w *walk, list func(authz.Page) (authz.List[T], error)) []T {
	w.Helper()
	var all []T
	for item, err := range authz.All(func(p authz.Page) (authz.List[T], error) {
		p.Limit = 2
		return list(p)
	}) {
		if err != nil {
			w.Fatalf("seed %d, step %d: %v", w.seed, w.step, err)
		}
		all = append(all, item)
	}
	return all
}

func same[T comparable](w *walk, whose, what string, got, want []T, err error) {
	w.Helper()
	if err != nil || !slices.Equal(got, want) {
		w.Fatalf("seed %d, step %d: %s: %s: got %v, %v, want %v", w.seed, w.step, whose, what, got, err, want)
	}
}

// once2 is both, sorted, or one where they are the same.
func once2(a, b authz.Kind) []authz.Kind {
	kinds := []authz.Kind{a, b}
	slices.Sort(kinds)
	return slices.Compact(kinds)
}
