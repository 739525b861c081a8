package storetest

import (
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/internal/store"
)

// logDecisions appends decisions about the fixture's tenant in one batch, and returns
// them with their ids.
func (f fixture) logDecisions(t *testing.T, decisions ...authz.LoggedDecision) []authz.LoggedDecision {
	t.Helper()
	batch := each(decisions, func(d authz.LoggedDecision) store.TenantDecision {
		return store.TenantDecision{Tenant: f.tenant, LoggedDecision: d}
	})
	must(t, f.AppendDecisions(t.Context(), batch))
	return each(batch, func(d store.TenantDecision) authz.LoggedDecision { return d.LoggedDecision })
}

// decisions lists the newest that a filter selects.
func (f fixture) decisions(t *testing.T, filter authz.DecisionFilter) []authz.LoggedDecision {
	t.Helper()
	return get(f.reader().LoggedDecisions(t.Context(), filter, "", 1000))(t)
}

var loggedDecision = authz.LoggedDecision{
	Time: now, Actor: "system", User: "ann", Permission: "post:edit", Resource: authz.Node{Type: "post", ID: "7"},
	Allowed: true, Revision: 3, RequestID: "1", IP: "192.0.2.1",
}

func testDecisions(t *testing.T, f fixture) {
	ctx := t.Context()
	explained := loggedDecision
	explained.Reasons = []authz.Reason{
		{Outcome: "granted", Role: "editor", At: authz.Node{Type: "project", ID: "a/b"}, Group: "staff", Inheritance: []string{"editor", "author"}, Permission: "post:*"},
		{Outcome: "expired", Role: "viewer", At: authz.Root, Permission: "*", Condition: "true", Error: "none"},
	}
	atRoot := loggedDecision
	atRoot.Resource, atRoot.Allowed, atRoot.SubjectType = authz.Node{}, false, "service"
	earlier := loggedDecision
	earlier.Time = now.Add(-time.Microsecond)
	// In the order of time, and within a moment in that of the batch.
	made := f.logDecisions(t, explained, atRoot, loggedDecision, earlier)
	want := []authz.LoggedDecision{made[2], made[1], made[0], made[3]}
	got := f.decisions(t, authz.DecisionFilter{})
	deepEqual(t, "decisions", got, want)
	if !slices.IsSortedFunc(got, func(a, b authz.LoggedDecision) int { return strings.Compare(b.ID, a.ID) }) || got[0].ID[14] != '7' {
		t.Errorf("got %+v, want ids of version 7, newest first", got)
	}
	for limit := 1; limit <= len(want)+1; limit++ {
		var paged []authz.LoggedDecision
		for before := ""; ; before = paged[len(paged)-1].ID {
			page := get(f.reader().LoggedDecisions(ctx, authz.DecisionFilter{}, before, limit))(t)
			paged = append(paged, page...)
			if len(page) < limit {
				break
			}
		}
		deepEqual(t, "in pages of "+strconv.Itoa(limit), paged, want)
	}
	other := f
	other.tenant += "-other"
	equal(t, "decisions of another tenant", len(other.decisions(t, authz.DecisionFilter{})), 0)
	equal(t, "revision", f.revision(t), 0)
}

func testDecisionFilter(t *testing.T, f fixture) {
	var all []authz.LoggedDecision
	for name, change := range map[string]func(*authz.LoggedDecision){
		"base":       func(*authz.LoggedDecision) {},
		"later":      func(d *authz.LoggedDecision) { d.Time = now.Add(time.Microsecond) },
		"user":       func(d *authz.LoggedDecision) { d.User = "bob" },
		"permission": func(d *authz.LoggedDecision) { d.Permission = "post:read" },
		"type":       func(d *authz.LoggedDecision) { d.Resource.Type = "page" },
		"id":         func(d *authz.LoggedDecision) { d.Resource.ID = "8" },
		"denied":     func(d *authz.LoggedDecision) { d.Allowed = false },
		"request":    func(d *authz.LoggedDecision) { d.RequestID = "2" },
	} {
		d := loggedDecision
		change(&d)
		d.Actor = name
		all = append(all, d)
	}
	f.logDecisions(t, all...)
	yes, no := true, false
	whole := authz.DecisionFilter{
		User: "ann", Permission: "post:edit", Resource: loggedDecision.Resource, Allowed: &yes, RequestID: "1", Until: now.Add(time.Microsecond),
	}
	for name, test := range map[string]struct {
		filter authz.DecisionFilter
		want   []string
	}{
		"user":               {authz.DecisionFilter{User: "bob"}, []string{"user"}},
		"permission":         {authz.DecisionFilter{Permission: "post:read"}, []string{"permission"}},
		"resource":           {authz.DecisionFilter{Resource: authz.Node{Type: "post", ID: "8"}}, []string{"id"}},
		"another type":       {authz.DecisionFilter{Resource: authz.Node{Type: "page", ID: "7"}}, []string{"type"}},
		"denied":             {authz.DecisionFilter{Allowed: &no}, []string{"denied"}},
		"request":            {authz.DecisionFilter{RequestID: "2"}, []string{"request"}},
		"since is inclusive": {authz.DecisionFilter{Since: now.Add(time.Microsecond)}, []string{"later"}},
		"until is not":       {whole, []string{"base"}},
		"long ago":           {authz.DecisionFilter{Until: now.AddDate(-100, 0, 0)}, nil},
		"long from now":      {authz.DecisionFilter{Since: now.AddDate(7000, 0, 0)}, nil},
		"until far away":     {authz.DecisionFilter{Until: now.AddDate(7000, 0, 0), User: "bob"}, []string{"user"}},
		"an empty span":      {authz.DecisionFilter{Since: now, Until: now}, nil},
		"a prefix":           {authz.DecisionFilter{User: "an"}, nil},
		"another case":       {authz.DecisionFilter{User: "Ann"}, nil},
		"two":                {authz.DecisionFilter{User: "bob", Allowed: &no}, nil},
	} {
		got := each(f.decisions(t, test.filter), func(d authz.LoggedDecision) string { return d.Actor })
		equalList(t, name, got, test.want)
		// Each list looks at the other filters, too, and goes on behind a row.
		for part, change := range map[string]func(*authz.DecisionFilter){
			"user": func(f *authz.DecisionFilter) { f.User = "ann" }, "permission": func(f *authz.DecisionFilter) { f.Permission = "post:edit" },
			"resource": func(f *authz.DecisionFilter) { f.Resource = loggedDecision.Resource }, "allowed": func(f *authz.DecisionFilter) { f.Allowed = &yes },
			"request": func(f *authz.DecisionFilter) { f.RequestID = "1" },
		} {
			narrow := test.filter
			change(&narrow)
			for _, d := range f.decisions(t, narrow) {
				wrong := narrow.User != "" && d.User != narrow.User || narrow.Permission != "" && d.Permission != narrow.Permission ||
					narrow.Resource.Type != "" && d.Resource != narrow.Resource || narrow.Allowed != nil && d.Allowed != *narrow.Allowed ||
					narrow.RequestID != "" && d.RequestID != narrow.RequestID
				if wrong || len(get(f.reader().LoggedDecisions(t.Context(), narrow, d.ID, 0))(t)) > 0 {
					t.Errorf("%s and %s: got %+v", name, part, d)
				}
			}
		}
	}
	equal(t, "no filter", len(f.decisions(t, authz.DecisionFilter{})), len(all))
	equal(t, "allowed", len(f.decisions(t, authz.DecisionFilter{Allowed: &yes})), len(all)-1)
	equal(t, "every filter at once", len(f.decisions(t, whole)), 1)
}

// testDecisionsAgain writes a batch again, as after an answer that was lost.
func testDecisionsAgain(t *testing.T, f fixture) {
	ctx := t.Context()
	batch := []store.TenantDecision{{Tenant: f.tenant, LoggedDecision: loggedDecision}, {Tenant: f.tenant, LoggedDecision: loggedDecision}}
	must(t, f.AppendDecisions(ctx, batch))
	batch = append(batch, store.TenantDecision{Tenant: f.tenant, LoggedDecision: loggedDecision})
	must(t, f.AppendDecisions(ctx, batch))
	equal(t, "decisions", len(f.decisions(t, authz.DecisionFilter{})), len(batch))
	must(t, f.AppendDecisions(ctx, nil))
}

// testHostileDecision logs what a client can put into its request. None of it may keep
// the others of its batch from being written.
func testHostileDecision(t *testing.T, f fixture) {
	for sent, want := range map[string]string{"a\xff\xfeb": "a\uFFFDb", "a\x00b": "a\uFFFDb"} {
		hostile := loggedDecision
		hostile.RequestID, hostile.SubjectType, hostile.IP, hostile.Actor = sent, sent, sent, sent
		id := f.logDecisions(t, loggedDecision, hostile)[1].ID
		for _, got := range f.decisions(t, authz.DecisionFilter{}) {
			if got.ID == id {
				equalList(t, "texts", []string{got.RequestID, got.SubjectType, got.IP, got.Actor}, []string{want, want, want, want})
			}
		}
	}
	equal(t, "decisions", len(f.decisions(t, authz.DecisionFilter{})), 4)
}

func testDeleteDecisions(t *testing.T, f fixture) {
	ctx := t.Context()
	f = f.alone(t)
	other := f
	other.tenant += "-other"
	for i := range 4 {
		d := loggedDecision
		d.Time = now.Add(time.Duration(i-2) * time.Microsecond)
		f.logDecisions(t, d)
		other.logDecisions(t, d)
	}
	for _, want := range []int{3, 1, 0} {
		equal(t, "deleted", get(f.DeleteDecisions(ctx, now, 3))(t), want)
	}
	for _, limit := range []int{0, -1} {
		equal(t, "none", get(f.DeleteDecisions(ctx, now.Add(time.Hour), limit))(t), 0)
	}
	for _, f := range []fixture{f, other} {
		left := f.decisions(t, authz.DecisionFilter{})
		if len(left) != 2 || !left[1].Time.Equal(now) {
			t.Errorf("got %+v, want the two from %v on", left, now)
		}
	}
}

// testParallelDecisionSweeps deletes each decision once.
func testParallelDecisionSweeps(t *testing.T, f fixture) {
	ctx := t.Context()
	f = f.alone(t)
	const decisions = 60
	for range decisions {
		f.logDecisions(t, loggedDecision)
	}
	var total atomic.Int64
	together(4, func(int) {
		for total.Load() < decisions {
			n, err := f.DeleteDecisions(ctx, now.Add(time.Hour), 7)
			if err != nil {
				t.Errorf("sweep: %v", err)
				return
			}
			total.Add(int64(n))
		}
	})
	equal(t, "deleted", total.Load(), decisions)
}
