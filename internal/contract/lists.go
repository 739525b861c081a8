package contract

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/internal/audit"
	"github.com/gatehouse/gatehouse/internal/fault"
)

// listing is any list, its items in words.
type listing struct {
	name string
	page lister[string]
	// counted lists set Total.
	counted bool
}

func inWords[T any](name string, list lister[T]) listing {
	return listing{name: name, page: func(ctx context.Context, page authz.Page) (authz.List[string], error) {
		l, err := list(ctx, page)
		words := authz.List[string]{Next: l.Next, Total: l.Total, Revision: l.Revision}
		for _, item := range l.Items {
			words.Items = append(words.Items, fmt.Sprintf("%+v", item))
		}
		return words, err
	}}
}

// listings are all lists, on a tenant that fill filled.
func (x tenant) listings() []listing {
	lists := []listing{
		inWords("Roles", x.Roles),
		inWords("RolePermissions", of(x.RolePermissions, "r000")),
		inWords("WhichRolesCan", of(x.WhichRolesCan, "p000")),
		inWords("UserRoles", of(x.UserRoles, "u000")),
		inWords("Members", of(x.Members, "r000")),
		inWords("UserPermissions", of(x.UserPermissions, "u000")),
		inWords("WhichUsersCan", of(x.WhichUsersCan, "p000")),
		inWords("WorkflowUsers", of(x.WorkflowUsers, "p000")),
		inWords("Grants", of(x.Grants, "r000")),
		inWords("Scopes", func(ctx context.Context, page authz.Page) (authz.List[authz.Scope], error) {
			return x.Scopes(ctx, authz.KindOrganization, authz.Root, page)
		}),
		inWords("Resources", of(x.Resources, "post")),
		inWords("NodeMembers", of(x.NodeMembers, authz.Node{Type: "post", ID: "n000"})),
		inWords("AuditEvents", of(x.unplacedEvents, audit.Filter{Outcome: audit.Success})),
	}
	lists[5].counted, lists[7].counted = true, true
	return lists
}

// unplacedEvents lists events without their places in the tree, which they get at any
// time.
func (x tenant) unplacedEvents(ctx context.Context, filter audit.Filter, page authz.Page) (authz.List[audit.Event], error) {
	list, err := x.AuditEvents(ctx, filter, page)
	for i := range list.Items {
		list.Items[i].Seq = nil
	}
	return list, err
}

// fill gives each list of listings at least n items.
func (x tenant) fill(n int) {
	x.t.Helper()
	for i := range n {
		x.addRole(fmt.Sprintf("r%03d", i))
		x.grant(fmt.Sprintf("r%03d", i), "p000")
		x.join("u000", fmt.Sprintf("r%03d", i))
		x.changed(x.PutScope(x.ctx(), authz.Scope{Node: authz.Node{Type: "organization", ID: fmt.Sprintf("n%03d", i)}}))
		x.changed(x.PutResource(x.ctx(), authz.Resource{Node: authz.Node{Type: "post", ID: fmt.Sprintf("n%03d", i)}}))
		subject := []authz.SubjectRef{user("alice"), group("alice"), user("bob")}[i%3]
		x.changed(x.PutMembership(x.ctx(), authz.Membership{
			Subject: subject, Role: fmt.Sprintf("r%03d", i), Node: authz.Node{Type: "post", ID: "n000"},
		}))
		if i > 0 {
			x.grant("r000", fmt.Sprintf("p%03d", i))
			x.join(fmt.Sprintf("u%03d", i), "r000")
		}
	}
}

func (s *suite) lists() map[string]func(*testing.T, tenant) {
	return map[string]func(*testing.T, tenant){
		"pages_of_any_size_make_the_same_list": func(t *testing.T, x tenant) {
			const items = 8
			x.fill(items)
			for _, list := range x.listings() {
				whole, err := list.page(x.ctx(), authz.Page{})
				if err != nil || len(whole.Items) < items || whole.Next != "" {
					t.Fatalf("%s: got %d items, next %q and error %v, want at least %d on one page", list.name, len(whole.Items), whole.Next, err, items)
				}
				if want := int64(len(whole.Items)); list.counted && whole.Total != want {
					t.Errorf("%s: got total %d, want %d", list.name, whole.Total, want)
				}
				for _, limit := range []int{1, 3, items - 1, items, items + 1, 10_000} {
					equal(t, fmt.Sprintf("%s by %d", list.name, limit), x.paged(list, limit, whole), whole.Items)
				}
			}
		},

		"lists_are_sorted_by_code_point": func(t *testing.T, x tenant) {
			for _, role := range []string{"b", "B", "a", "_", "-", ".x", "0", "Z", "z10", "z9", "aa", "A"} {
				x.addRole(role)
				x.grant(role, "p")
				x.join("alice", role)
			}
			sorted := []string{"-", ".x", "0", "A", "B", "Z", "_", "a", "aa", "b", "z10", "z9"}
			equal(t, "roles", x.roleNames(), sorted)
			equal(t, "which roles can", x.whichRolesCan("p"), sorted)
			var roles []string
			for _, member := range x.userRoles("alice") {
				roles = append(roles, member.Role)
			}
			equal(t, "user roles", roles, sorted)

			// Those of more than one byte, and beyond what UTF-16 orders alike.
			people := []string{"alice", "z", "Z", "é", "e", "~", "\uffee", "\U0001d4b3", "alice b"}
			for _, user := range people[1:] {
				x.join(user, "a")
			}
			slices.Sort(people)
			equal(t, "members", x.members("a"), asMembers(people, "a"))
			users := x.whichUsersCan("p")
			if !slices.IsSortedFunc(users, compareMembers) {
				t.Errorf("which users can: got %+v, want them sorted by user, then role", users)
			}
			for _, permission := range []string{"b:*", "B", "a/b", "a:b", "a.b", "a-b", "*", "a"} {
				x.grant("b", permission)
			}
			permissions := []string{"*", "B", "a", "a-b", "a.b", "a/b", "a:b", "b:*", "p"}
			equal(t, "role permissions", x.rolePermissions("b"), permissions)
			equal(t, "user permissions", x.userPermissions("alice"), permissions)
		},

		"a_limit_is_1_to_10000": func(t *testing.T, x tenant) {
			for _, list := range x.listings() {
				for _, limit := range []int{-1, 10_001} {
					_, err := list.page(x.ctx(), authz.Page{Limit: limit})
					fails(t, fmt.Sprintf("%s by %d", list.name, limit), err, fault.CodeInvalid)
				}
			}
		},

		"a_page_holds_1000_items_unless_told": func(t *testing.T, x tenant) {
			x.addRole("editor")
			for i := range 1001 {
				x.join(fmt.Sprintf("u%04d", i), "editor")
			}
			first, err := x.Members(x.ctx(), "editor", authz.Page{})
			if err != nil || len(first.Items) != 1000 || first.Next == "" {
				t.Fatalf("first page: got %d items, next %q and error %v, want 1000 and a next page", len(first.Items), first.Next, err)
			}
			second, err := x.Members(x.ctx(), "editor", authz.Page{Cursor: first.Next})
			if err != nil || second.Next != "" {
				t.Fatalf("second page: got next %q and error %v, want the last page", second.Next, err)
			}
			equal(t, "second page", second.Items, []authz.Member{{User: "u1000", Role: "editor"}})
		},

		"a_cursor_serves_its_own_list_only": func(t *testing.T, x tenant) {
			x.fill(2)
			x.join("u001", "r001")
			lists := append(x.listings(),
				inWords("RolePermissions of another role", of(x.RolePermissions, "r001")),
				inWords("WhichRolesCan of another permission", of(x.WhichRolesCan, "p001")),
				inWords("UserRoles of another user", of(x.UserRoles, "u001")),
				inWords("Members of another role", of(x.Members, "r001")),
				inWords("UserPermissions of another user", of(x.UserPermissions, "u001")),
				inWords("WorkflowUsers of another permission", of(x.WorkflowUsers, "p001")),
			)
			for i, list := range lists {
				first, err := list.page(x.ctx(), authz.Page{Limit: 1})
				if err != nil {
					t.Fatalf("%s: %v", list.name, err)
				}
				if first.Next == "" {
					continue // a list of one item, here to refuse the others' cursors
				}
				for j, other := range lists {
					// The two lists of users with a permission are one.
					same := i == j || list.name == "WhichUsersCan" && other.name == "WorkflowUsers" || list.name == "WorkflowUsers" && other.name == "WhichUsersCan"
					if same {
						continue
					}
					_, err := other.page(x.ctx(), authz.Page{Cursor: first.Next})
					fails(t, other.name+" with the cursor of "+list.name, err, fault.CodeInvalid)
				}
				for _, broken := range []string{"x", "!", "AAAA", "AAAAAAAAAAAAAAAA", first.Next + "A", first.Next[:len(first.Next)-2], first.Next[1:], " " + first.Next} {
					_, err := list.page(x.ctx(), authz.Page{Cursor: broken})
					fails(t, list.name+" with a broken cursor", err, fault.CodeInvalid)
				}
			}
		},

		"paging_misses_nothing_while_others_write": func(t *testing.T, x tenant) {
			const standing = 40
			var want []string
			for i := range standing {
				role := fmt.Sprintf("role-%03d", i*10)
				want = append(want, role)
				x.addRole(role)
			}
			ctx, stop := context.WithCancel(x.ctx())
			started := make(chan struct{})
			var writer sync.WaitGroup
			writer.Go(func() {
				for i := 0; ctx.Err() == nil; i++ {
					passing := fmt.Sprintf("role-%03d", i*7%(standing*10)/10*10+5)
					// Errors are the end of the test; what counts is what the reader sees.
					_, _ = x.AddRole(ctx, passing, authz.RoleOptions{})
					_, _ = x.DeleteRole(ctx, passing)
					if i == 0 {
						close(started)
					}
				}
			})
			<-started
			for range 5 {
				var got, seen []string
				for role, err := range authz.All(func(page authz.Page) (authz.List[authz.Role], error) {
					page.Limit = 3
					return x.Roles(x.ctx(), page)
				}) {
					if err != nil {
						t.Errorf("list: %v", err)
						break
					}
					seen = append(seen, role.Name)
					if slices.Contains(want, role.Name) {
						got = append(got, role.Name)
					}
				}
				equal(t, "standing roles", got, want)
				if !slices.IsSorted(seen) || len(slices.Compact(slices.Clone(seen))) != len(seen) {
					t.Errorf("roles: got %v, want them sorted, each once", seen)
				}
			}
			stop()
			writer.Wait()
		},
	}
}

// paged reads a list by limit, and checks each page against the whole.
func (x tenant) paged(list listing, limit int, whole authz.List[string]) []string {
	x.t.Helper()
	var items []string
	page := authz.Page{Limit: limit}
	for {
		l, err := list.page(x.ctx(), page)
		if err != nil {
			x.t.Fatalf("%s by %d: %v", list.name, limit, err)
		}
		if len(l.Items) == 0 || len(l.Items) > limit || l.Total != whole.Total || l.Revision != whole.Revision {
			x.t.Fatalf("%s by %d: got a page of %d items, total %d at revision %d, want 1 to %d items, total %d at revision %d",
				list.name, limit, len(l.Items), l.Total, l.Revision, limit, whole.Total, whole.Revision)
		}
		items = append(items, l.Items...)
		if l.Next == "" {
			return items
		}
		page.Cursor = l.Next
	}
}

func compareMembers(a, b authz.Member) int {
	return cmp.Or(cmp.Compare(a.User, b.User), cmp.Compare(a.Role, b.Role))
}
