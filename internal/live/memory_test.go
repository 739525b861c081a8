package live_test

import (
	"context"
	"fmt"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/internal/live"
	"github.com/gatehouse/gatehouse/internal/store"
)

// endless is a database that makes up whatever it is asked for, and keeps nothing.
type endless struct {
	store.Reader
	holdings, roles int
	properties      func() map[string]any
	condition       string
}

func (e *endless) View(_ context.Context, _ string, fn func(store.Reader) error) error { return fn(e) }

func (e *endless) Revisions(_ context.Context, tenants []string) (map[string]int64, error) {
	revisions := map[string]int64{}
	for _, tenant := range tenants {
		revisions[tenant] = 1
	}
	return revisions, nil
}

func (e *endless) Revision(context.Context) (int64, error) { return 1, nil }

func (e *endless) User(_ context.Context, name string) (authz.User, bool, error) {
	return authz.User{Name: name, Properties: e.properties()}, true, nil
}

func (e *endless) Holdings(_ context.Context, user string) ([]authz.Holding, error) {
	holdings := make([]authz.Holding, e.holdings)
	for i := range holdings {
		holdings[i] = authz.Holding{Role: "role-" + strconv.Itoa(i), Node: authz.Node{Type: "post", ID: user + "'s post " + strconv.Itoa(i)}}
	}
	return holdings, nil
}

func (e *endless) Node(_ context.Context, node authz.Node) (store.NodeRecord, bool, error) {
	return store.NodeRecord{
		Node: node, Owner: "owner of " + node.ID, Parent: authz.Node{Type: "project", ID: "project of " + node.ID}, Properties: e.properties(),
	}, e.holdings > 0, nil
}

func (e *endless) Policy(context.Context) ([]authz.RoleSpec, error) {
	specs := make([]authz.RoleSpec, e.roles)
	for i := range specs {
		specs[i].Name = "role number " + strconv.Itoa(i)
		if i > 0 {
			specs[i].Inherits = []string{specs[i-1].Name}
		}
		for grant := range 5 {
			specs[i].Grants = append(specs[i].Grants, authz.Grant{Permission: fmt.Sprint("document:", grant, "-", i)})
		}
		if e.condition != "" {
			specs[i].Grants = append(specs[i].Grants, authz.Grant{Permission: "document:edit", Condition: fmt.Sprint(e.condition, i)})
		}
	}
	return specs, nil
}

// heap is how many bytes are in use, and nothing else is running.
func heap() int64 {
	for range 3 {
		runtime.GC()
	}
	var now runtime.MemStats
	runtime.ReadMemStats(&now)
	return int64(now.HeapAlloc)
}

// Not parallel, nor are its cases: each measures the heap of the whole process.
func TestMemoryStaysWithinItsLimit(t *testing.T) {
	const limit = 4 << 20
	none := func() map[string]any { return nil }
	some := func() map[string]any {
		return map[string]any{"department": "engineering", "clearance": 3.0, "tags": []any{"a", "b", "c"}}
	}
	user := func(v *live.View, n int) error { _, err := v.Subject("user-" + strconv.Itoa(n)); return err }
	node := func(v *live.View, n int) error {
		_, err := v.Node(authz.Node{Type: "post", ID: "post-" + strconv.Itoa(n)})
		return err
	}
	policy := func(v *live.View, _ int) error { _, err := v.Policy(); return err }
	for _, tc := range []struct {
		name   string
		source endless
		ask    func(*live.View, int) error
		// share is the part of the limit that such entries may take, in quarters.
		share int64
		// things is how many there are: several times what there is room for.
		things, tenants int
	}{
		{"users who hold nothing", endless{properties: none}, user, 2, 22_000, 1},
		{"users with a membership", endless{holdings: 1, properties: none}, user, 2, 12_000, 1},
		{"users with many memberships", endless{holdings: 30, properties: none}, user, 2, 2_000, 1},
		{"users with properties", endless{holdings: 3, properties: some}, user, 2, 6_000, 1},
		{"resources", endless{holdings: 1, properties: none}, node, 1, 12_000, 1},
		{"resources with properties", endless{holdings: 1, properties: some}, node, 1, 6_000, 1},
		{"resources that are not stored", endless{properties: none}, node, 1, 16_000, 1},
		{"policies", endless{roles: 20, properties: none}, policy, 1, 1, 200},
		{"small policies", endless{roles: 1, properties: none}, policy, 1, 1, 3_000},
		{"large policies", endless{roles: 200, properties: none}, policy, 1, 1, 25},
		{"policies with conditions", endless{roles: 3, properties: none, condition: "resource.properties.size > "}, policy, 1, 1, 200},
	} {
		t.Run(tc.name, func(t *testing.T) {
			before := heap()
			l, err := live.New(&tc.source, live.Config{CacheBytes: limit, PollEvery: time.Hour})
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			for tenant := range tc.tenants {
				for n := range tc.things {
					if _, err := l.Ask(t.Context(), "tenant-"+strconv.Itoa(tenant), 0, func(v *live.View) error { return tc.ask(v, n) }); err != nil {
						t.Fatal(err)
					}
				}
			}
			l.CleanUp()
			took := heap() - before
			most := tc.share * limit / 4
			ratio := float64(took) / float64(most)
			t.Logf("%.2f of the share of %d MiB", ratio, most>>20)
			if ratio > 1.5 || ratio < 0.3 {
				t.Errorf("got %d KiB in use, want about the share of %d KiB", took>>10, most>>10)
			}
			runtime.KeepAlive(l)
		})
	}
}
