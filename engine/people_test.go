package engine_test

import (
	"errors"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/google/uuid"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/engine"
)

// TestPeople lists groups, their members and users, which REST does not.
func TestPeople(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	e, err := engine.Open(ctx, engine.Config{Database: filepath.Join(t.TempDir(), "gatehouse.sqlite3")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	tenant := e.Tenant(uuid.NewString())
	member := func(kind authz.SubjectType, name string) authz.SubjectRef {
		return authz.SubjectRef{Type: kind, Name: name}
	}
	members := []authz.SubjectRef{member(authz.UserType, "a/b"), member(authz.UserType, "zoë"), member(authz.GroupType, "a/b"), member(authz.GroupType, "interns")}
	for _, m := range members {
		if _, err := tenant.AddToGroup(ctx, "staff", m); err != nil {
			t.Fatal(err)
		}
	}
	users := []authz.User{{Name: "a/b", Inactive: true}, {Name: "bob", Properties: map[string]any{"level": 3.0}}}
	for _, user := range users {
		if _, err := tenant.PutUser(ctx, user); err != nil {
			t.Fatal(err)
		}
	}
	groups := []authz.Group{{Name: "a/b"}, {Name: "interns"}, {Name: "staff"}}

	wantPages(t, "members", members, func(page authz.Page) (authz.List[authz.SubjectRef], error) {
		return tenant.GroupMembers(ctx, "staff", page)
	})
	wantPages(t, "members of no group", nil, func(page authz.Page) (authz.List[authz.SubjectRef], error) {
		return tenant.GroupMembers(ctx, "nobody", page)
	})
	wantPages(t, "groups", groups, func(page authz.Page) (authz.List[authz.Group], error) { return tenant.Groups(ctx, page) })
	wantPages(t, "users", users, func(page authz.Page) (authz.List[authz.User], error) { return tenant.Users(ctx, page) })

	first, err := tenant.GroupMembers(ctx, "staff", authz.Page{Limit: 1})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tenant.GroupMembers(ctx, "interns", authz.Page{Cursor: first.Next}); !errors.Is(err, engine.ErrInvalid) {
		t.Errorf("the cursor of another group: got error %v, want ErrInvalid", err)
	}
	if _, err := tenant.GroupMembers(ctx, " ", authz.Page{}); !errors.Is(err, engine.ErrInvalid) {
		t.Errorf("members of a malformed group: got error %v, want ErrInvalid", err)
	}
}

// wantPages reads a list in pages of one item and in one page.
func wantPages[T any](t *testing.T, what string, want []T, list func(authz.Page) (authz.List[T], error)) {
	t.Helper()
	for _, limit := range []int{1, 100} {
		var got []T
		for page := (authz.Page{Limit: limit}); ; {
			l, err := list(page)
			if err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			got = append(got, l.Items...)
			if page.Cursor = l.Next; page.Cursor == "" {
				break
			}
		}
		if len(got)+len(want) > 0 && !reflect.DeepEqual(got, want) {
			t.Errorf("%s in pages of %d: got %+v, want %+v", what, limit, got, want)
		}
	}
}
