package engine_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/internal/contract"
	"github.com/gatehouse/gatehouse/internal/pgtest"
)

const (
	searchSeeds = 3
	searchSteps = 160
	// searchAsk is how many changes are made between two rounds of searches.
	searchAsk = 8
	// searchRequests is how many requests a round is about.
	searchRequests = 6
)

func TestSearchesAreTheModelsOnSQLite(t *testing.T) {
	t.Parallel()
	testSearches(t, filepath.Join(t.TempDir(), "gatehouse.sqlite3"))
}

func TestSearchesAreTheModelsOnPostgreSQL(t *testing.T) {
	t.Parallel()
	testSearches(t, pgtest.URL(t))
}

// testSearches compares what searches find with what the model allows of all that
// there is.
func testSearches(t *testing.T, database string) {
	clock := contract.NewClock(time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC))
	e, err := engine.Open(t.Context(), engine.Config{Database: database, AutoMigrate: true, Now: clock.Now})
	if err != nil {
		t.Fatalf("open the engine: %v", err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Errorf("close the engine: %v", err)
		}
	})
	for seed := range uint64(searchSeeds) {
		tenant := e.Tenant(uuid.NewString())
		w := &walk{
			T: t, seed: seed, rand: rand.New(rand.NewPCG(seed, 5)), clock: clock,
			model: newModel(), tenant: tenant, other: tenant,
		}
		for w.step = range searchSteps {
			w.change()
			if w.step%searchAsk == 0 {
				w.search()
			}
			if t.Failed() {
				return
			}
		}
	}
}

// search asks every kind of search about a few random requests.
func (w *walk) search() {
	w.Helper()
	requests := w.requests()
	w.rand.Shuffle(len(requests), func(i, j int) { requests[i], requests[j] = requests[j], requests[i] })
	for _, request := range requests[:searchRequests] {
		whose := fmt.Sprintf("%+v on %+v", request, request.Resource)
		page := authz.Page{Limit: 1 + w.rand.IntN(3)}

		got, err := searched(page, func(p authz.Page) (authz.List[string], error) { return w.tenant.Subjects(w.Context(), request, p) })
		same(w, whose, "subjects", got, w.filter(w.knownUsers(request), func(user string) authz.Request {
			asked := request
			asked.User = user
			return asked
		}), err)

		got, err = searched(page, func(p authz.Page) (authz.List[string], error) { return w.tenant.Actions(w.Context(), request, p) })
		same(w, whose, "actions", got, w.filter(w.knownPermissions(), func(permission string) authz.Request {
			asked := request
			asked.Permission = permission
			return asked
		}), err)

		for _, nodeType := range []string{"post", "tenant", "organization", "project", "team", "none"} {
			got, err = searched(page, func(p authz.Page) (authz.List[string], error) {
				return w.tenant.ResourcesFor(w.Context(), request, nodeType, p)
			})
			same(w, whose, "resources of type "+nodeType, got, w.filter(w.storedOf(nodeType), func(id string) authz.Request {
				asked := request
				asked.Resource = &authz.RequestedResource{Node: authz.Node{Type: nodeType, ID: id}}
				if request.Resource != nil {
					asked.Resource.Properties = request.Resource.Properties
				}
				return asked
			}), err)
		}
	}
}

// filter keeps what the model allows.
func (w *walk) filter(names []string, asked func(string) authz.Request) []string {
	var allowed []string
	for _, name := range once(names) {
		if len(w.model.ways(asked(name), w.clock.Now())) > 0 {
			allowed = append(allowed, name)
		}
	}
	return allowed
}

func (w *walk) knownUsers(request authz.Request) []string {
	users := slices.Collect(maps.Keys(w.model.users))
	for h := range w.model.memberships {
		if h.subject.Type == authz.UserType {
			users = append(users, h.subject.Name)
		}
	}
	for in := range w.model.within {
		if in.member.Type == authz.UserType {
			users = append(users, in.member.Name)
		}
	}
	for _, stored := range w.model.nodes {
		users = append(users, stored.owner)
	}
	if _, owner, _ := w.model.path(request.Resource); owner != "" {
		users = append(users, owner)
	}
	return slices.DeleteFunc(users, func(user string) bool { return user == "" })
}

func (w *walk) knownPermissions() []string {
	var permissions []string
	for _, grants := range w.model.grants {
		for permission := range grants {
			if authz.ValidatePermission(permission) == nil {
				permissions = append(permissions, permission)
			}
		}
	}
	return permissions
}

func (w *walk) storedOf(nodeType string) []string {
	var ids []string
	for node := range w.model.nodes {
		if node.Type == nodeType {
			ids = append(ids, node.ID)
		}
	}
	return ids
}

// searched reads all pages of a search.
func searched(page authz.Page, list func(authz.Page) (authz.List[string], error)) ([]string, error) {
	var all []string
	for {
		l, err := list(page)
		if err != nil {
			return nil, err
		}
		if len(l.Items) > page.Limit {
			return nil, fmt.Errorf("got a page of %d, want at most %d", len(l.Items), page.Limit)
		}
		all = append(all, l.Items...)
		if l.Next == "" {
			return all, nil
		}
		page.Cursor = l.Next
	}
}

// crowd is a tenant with more of everything than a chunk holds: 1,500 posts and as
// many users, each the owner of one, of whom every tenth is an editor.
func crowd(t *testing.T) *engine.Tenant {
	t.Helper()
	e, err := engine.Open(t.Context(), engine.Config{Database: filepath.Join(t.TempDir(), "gatehouse.sqlite3")})
	if err != nil {
		t.Fatalf("open the engine: %v", err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Errorf("close the engine: %v", err)
		}
	})
	tenant := e.Tenant("crowd")
	ctx := context.WithoutCancel(t.Context())
	must := func(_ authz.Written, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(tenant.PutRole(ctx, authz.RoleDetail{Name: "editor"}))
	must(tenant.PutGrant(ctx, "editor", authz.Grant{Permission: "edit"}))
	must(tenant.PutGrant(ctx, authz.Owner, authz.Grant{Permission: "delete"}))
	must(tenant.PutGrant(ctx, authz.Everyone, authz.Grant{Permission: "vote", Condition: "resource.properties.open == true && subject.id < 'user0100'"}))
	must(tenant.PutScope(ctx, authz.Scope{Node: authz.Node{Type: "organization", ID: "acme"}}))
	must(tenant.PutMembership(ctx, authz.Membership{Subject: userRef("chief"), Role: "editor", Node: authz.Node{Type: "organization", ID: "acme"}}))
	for n := range crowdSize {
		owner := fmt.Sprintf("user%04d", n)
		must(tenant.PutResource(ctx, authz.Resource{
			Node:   authz.Node{Type: "post", ID: fmt.Sprintf("%04d", n)},
			Parent: authz.Node{Type: "organization", ID: "acme"}, Owner: owner,
			Properties: map[string]any{"open": n == 0},
		}))
		if n%10 == 0 {
			must(tenant.AddMembership(ctx, owner, "editor", authz.Window{}))
		}
	}
	return tenant
}

const crowdSize = 1500

func TestSearchGoesOnBeyondAChunk(t *testing.T) {
	t.Parallel()
	tenant := crowd(t)
	post := &authz.RequestedResource{Node: authz.Node{Type: "post", ID: "0000"}}
	for _, limit := range []int{100, 999, 1000, 10_000} {
		for _, test := range []struct {
			what string
			want int
			list func(authz.Page) (authz.List[string], error)
		}{
			{"editors", crowdSize/10 + 1, func(p authz.Page) (authz.List[string], error) {
				return tenant.Subjects(t.Context(), authz.Request{Permission: "edit", Resource: post}, p)
			}},
			{"voters", 101, func(p authz.Page) (authz.List[string], error) {
				return tenant.Subjects(t.Context(), authz.Request{Permission: "vote", Resource: post}, p)
			}},
			{"what the chief edits", crowdSize, func(p authz.Page) (authz.List[string], error) {
				return tenant.ResourcesFor(t.Context(), authz.Request{User: "chief", Permission: "edit"}, "post", p)
			}},
			{"what an editor edits", crowdSize, func(p authz.Page) (authz.List[string], error) {
				return tenant.ResourcesFor(t.Context(), authz.Request{User: "user0010", Permission: "edit"}, "post", p)
			}},
			{"what an owner deletes", 1, func(p authz.Page) (authz.List[string], error) {
				return tenant.ResourcesFor(t.Context(), authz.Request{User: "user0010", Permission: "delete"}, "post", p)
			}},
			{"what a voter votes on", 1, func(p authz.Page) (authz.List[string], error) {
				return tenant.ResourcesFor(t.Context(), authz.Request{User: "user0010", Permission: "vote"}, "post", p)
			}},
		} {
			got, err := searched(authz.Page{Limit: limit}, test.list)
			if err != nil || len(got) != test.want || !slices.IsSorted(got) || len(slices.Compact(got)) != test.want {
				t.Errorf("%s by %d: got %d and error %v, want %d", test.what, limit, len(got), err, test.want)
			}
		}
	}
}

// TestSearchFindsOnceWhatStays changes the tenant between pages: what is there all
// the while is on exactly one.
func TestSearchFindsOnceWhatStays(t *testing.T) {
	t.Parallel()
	tenant := crowd(t)
	post := &authz.RequestedResource{Node: authz.Node{Type: "post", ID: "0000"}}
	seen := map[string]int{}
	page := authz.Page{Limit: 7}
	for n := 0; ; n++ {
		l, err := tenant.Subjects(t.Context(), authz.Request{Permission: "edit", Resource: post}, page)
		if err != nil {
			t.Fatal(err)
		}
		for _, user := range l.Items {
			seen[user]++
		}
		if l.Next == "" {
			break
		}
		page.Cursor = l.Next
		// The last user shown goes, and others come before and behind.
		if _, err := tenant.DeleteUser(t.Context(), l.Items[len(l.Items)-1]); err != nil {
			t.Fatal(err)
		}
		for _, user := range []string{fmt.Sprintf("a%d", n), fmt.Sprintf("user%04dx", n)} {
			if _, err := tenant.AddMembership(t.Context(), user, "editor", authz.Window{}); err != nil {
				t.Fatal(err)
			}
		}
	}
	for n := 0; n < crowdSize; n += 10 {
		if user := fmt.Sprintf("user%04d", n); seen[user] != 1 {
			t.Errorf("%s: got it %d times, want once", user, seen[user])
		}
	}
	for user, times := range seen {
		if times != 1 {
			t.Errorf("%s: got it %d times, want once", user, times)
		}
	}
}

func TestSearchCursorServesItsOwnQuestionOnly(t *testing.T) {
	t.Parallel()
	tenant := crowd(t)
	request := authz.Request{User: "chief", Permission: "edit"}
	l, err := tenant.ResourcesFor(t.Context(), request, "post", authz.Page{Limit: 1})
	if err != nil || l.Next == "" {
		t.Fatalf("got %+v and error %v, want a next page", l, err)
	}
	page := authz.Page{Cursor: l.Next}
	for what, list := range map[string]func() (authz.List[string], error){
		"another user": func() (authz.List[string], error) {
			return tenant.ResourcesFor(t.Context(), authz.Request{User: "user0010", Permission: "edit"}, "post", page)
		},
		"another type": func() (authz.List[string], error) { return tenant.ResourcesFor(t.Context(), request, "team", page) },
		"another context": func() (authz.List[string], error) {
			return tenant.ResourcesFor(t.Context(), authz.Request{User: "chief", Permission: "edit", Context: map[string]any{"a": 1}}, "post", page)
		},
		"another search": func() (authz.List[string], error) { return tenant.Actions(t.Context(), request, page) },
	} {
		if _, err := list(); !errors.Is(err, engine.ErrInvalid) {
			t.Errorf("%s: got error %v, want %v", what, err, engine.ErrInvalid)
		}
	}
}
