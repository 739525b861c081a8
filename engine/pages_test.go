package engine_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/engine"
)

// TestPageOfLargePropertiesEndsEarly lists more properties than a page may hold.
func TestPageOfLargePropertiesEndsEarly(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, _ *engine.Engine, tenant *engine.Tenant) {
		const large, all = 15 << 10, 1200
		const most = 9 << 20 // a page's bound, and more than one item
		properties := map[string]any{"text": strings.Repeat("x", large)}
		inRuns(t, tenant, all, func(x *engine.Tenant, n int) error {
			if _, err := x.PutUser(t.Context(), authz.User{Name: fmt.Sprintf("user-%04d", n), Properties: properties}); err != nil {
				return err
			}
			_, err := x.PutResource(t.Context(), authz.Resource{Node: authz.Node{Type: "post", ID: fmt.Sprintf("post-%04d", n)}, Properties: properties})
			return err
		})
		for _, limit := range []int{255, 256, 257, all - 1, all, engine.MaxPage} {
			page := authz.Page{Limit: limit}
			bounded(t, "posts by "+strconv.Itoa(limit), all, min(limit, most/large), page, func(p authz.Page) (authz.List[authz.Resource], error) {
				return tenant.Resources(t.Context(), "post", p)
			}, func(r authz.Resource) string { return r.ID })
			bounded(t, "users by "+strconv.Itoa(limit), all, min(limit, most/large), page, func(p authz.Page) (authz.List[authz.User], error) {
				return tenant.Users(t.Context(), p)
			}, func(u authz.User) string { return u.Name })
		}
	})
}

// bounded reads all pages, none of which may hold more than most items.
func bounded[T any](t *testing.T, what string, all, most int, page authz.Page, list func(authz.Page) (authz.List[T], error), name func(T) string) {
	t.Helper()
	var names []string
	for {
		l, err := list(page)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if len(l.Items) == 0 || len(l.Items) > most {
			t.Errorf("%s: got a page of %d items, want 1 to %d", what, len(l.Items), most)
		}
		for _, item := range l.Items {
			names = append(names, name(item))
		}
		if l.Next == "" {
			break
		}
		page.Cursor = l.Next
	}
	if len(names) != all || !slices.IsSorted(names) || len(slices.Compact(names)) != all {
		t.Errorf("%s: got %d items, want %d, each once and in order", what, len(names), all)
	}
}

// hurried is a context whose caller has no time left, but still waits.
type hurried struct{ context.Context }

func (hurried) Deadline() (time.Time, bool) { return time.Now(), true }

func TestSearchThatRunsOutOfTimeGoesOnOnTheNextPage(t *testing.T) {
	t.Parallel()
	tenant := crowd(t)
	request := authz.Request{User: "chief", Permission: "edit"}
	page := authz.Page{Limit: 20}
	want, err := tenant.ResourcesFor(t.Context(), request, "post", page)
	if err != nil || len(want.Items) != page.Limit {
		t.Fatalf("got %+v and error %v, want a page of %d", want, err, page.Limit)
	}
	var got []string
	for len(got) < len(want.Items) {
		l, err := tenant.ResourcesFor(hurried{t.Context()}, request, "post", page)
		if err != nil || len(l.Items) != 1 || l.Next == "" {
			t.Fatalf("got %+v and error %v, want one item and a next page", l, err)
		}
		got = append(got, l.Items...)
		page.Cursor = l.Next
	}
	if !slices.Equal(got, want.Items) {
		t.Errorf("got %v, want %v", got, want.Items)
	}
}

func TestChangeFeedIsPaged(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, _ *engine.Engine, tenant *engine.Tenant) {
		ctx := t.Context()
		for n := range 5 {
			// The first makes a group too, so its revision has two changes.
			if _, err := tenant.AddToGroup(ctx, "writers", userRef(strconv.Itoa(n))); err != nil {
				t.Fatal(err)
			}
		}
		whole, err := tenant.Changes(ctx, 0, authz.Page{})
		if err != nil || len(whole.Items) != 6 || whole.Next != "" {
			t.Fatalf("got %+v and error %v, want 6 changes on one page", whole, err)
		}
		for after := range int64(6) {
			want := slices.DeleteFunc(slices.Clone(whole.Items), func(c authz.Change) bool { return c.Revision <= after })
			for limit := 1; limit <= 7; limit++ {
				got := []authz.Change{}
				for c, err := range authz.All(func(p authz.Page) (authz.List[authz.Change], error) {
					p.Limit = limit
					return tenant.Changes(ctx, after, p)
				}) {
					if err != nil {
						t.Fatal(err)
					}
					if got = append(got, c); len(got) > len(want) {
						break
					}
				}
				if !reflect.DeepEqual(got, want) {
					t.Errorf("after %d by %d: got %+v, want %+v", after, limit, got, want)
				}
			}
		}
		l, err := tenant.Changes(ctx, 0, authz.Page{Limit: 1})
		if err != nil || l.Next == "" {
			t.Fatalf("got %+v and error %v, want a next page", l, err)
		}
		if _, err := tenant.Changes(ctx, 1, authz.Page{Cursor: l.Next}); !errors.Is(err, engine.ErrInvalid) {
			t.Errorf("a cursor of another question: got error %v, want %v", err, engine.ErrInvalid)
		}
	})
}

func TestAwaitChangeEndsWithAChange(t *testing.T) {
	t.Parallel()
	database := filepath.Join(t.TempDir(), "gatehouse.sqlite3")
	here, there := openEngine(t, engine.Config{Database: database}), openEngine(t, engine.Config{Database: database})
	var at int64
	for role, writer := range map[string]*engine.Engine{"own": here, "foreign": there} {
		waited := make(chan error, 1)
		go func() { waited <- here.Tenant("tenant").AwaitChange(t.Context(), at) }()
		written, err := writer.Tenant("tenant").AddRole(t.Context(), role, authz.RoleOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if err := <-waited; err != nil {
			t.Errorf("%s change: %v", role, err)
		}
		at = written.Revision
	}
	if err := here.Tenant("/").AwaitChange(t.Context(), 0); !errors.Is(err, engine.ErrInvalid) {
		t.Errorf("a malformed tenant: got error %v, want %v", err, engine.ErrInvalid)
	}
}
