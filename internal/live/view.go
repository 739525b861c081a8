package live

import (
	"context"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/internal/store"
)

// View gives out the parts of an answer. It is good only within the call that it
// was given to.
type View struct {
	ctx      context.Context
	tenant   *tenant
	revision int64

	// through is the snapshot that parts are read from, past what is in memory; nil
	// where they are not. policy is then what was read of it.
	through store.Reader
	policy  *authz.Policy
}

// Through returns a View of a snapshot, past what is in memory. It is good for as
// long as the snapshot is.
func Through(ctx context.Context, snapshot store.Reader) *View {
	return &View{ctx: ctx, through: snapshot}
}

// askThrough lets ask gather the parts of an answer from one snapshot.
func (t *tenant) askThrough(ctx context.Context, least int64, ask func(*View) error) (Basis, error) {
	view := View{ctx: ctx, tenant: t}
	err := t.live.source.View(ctx, t.id, func(r store.Reader) (err error) {
		if view.revision, err = r.Revision(ctx); err != nil {
			return err
		}
		if view.revision < least {
			return unavailable(errAway)
		}
		view.through, view.policy = r, nil
		return ask(&view)
	})
	return Basis{Revision: view.revision}, err
}

// subjectKey and nodeKey hold a generation, so that all of a tenant's can be
// forgotten at once: nothing finds what stands under an older one, and the cache
// lets go of it.
type subjectKey struct {
	tenant     *tenant
	generation uint64
	user       string
}

type nodeKey struct {
	tenant     *tenant
	generation uint64
	node       authz.Node
}

// Policy returns the tenant's roles, compiled.
func (v *View) Policy() (*authz.Policy, error) {
	if v.through != nil {
		return v.policyThrough()
	}
	t := v.tenant
	if policy := t.policy.Load(); policy != nil {
		t.live.counts.policies.RecordHits(1)
		return policy, nil
	}
	t.live.counts.policies.RecordMisses(1)
	var specs []authz.RoleSpec
	var policy *authz.Policy
	err := t.read(v.ctx, "policy", func(ctx context.Context, r store.Reader) (err error) {
		specs, policy, err = readPolicy(ctx, r, t.former.Load())
		return err
	}, func() int64 { return t.policyAt }, func() {
		t.policy.Store(policy)
		t.former.Store(policy)
		t.roles = make(map[string]bool, len(specs))
		for _, role := range specs {
			t.roles[role.Name] = true
		}
		t.weigh()
	})
	if err != nil {
		return nil, err
	}
	if policy := t.policy.Load(); policy != nil {
		return policy, nil
	}
	return v.Policy() // a change came between
}

func (v *View) policyThrough() (_ *authz.Policy, err error) {
	if v.policy == nil {
		_, v.policy, err = readPolicy(v.ctx, v.through, nil)
	}
	return v.policy, err
}

// readPolicy reads and compiles the tenant's roles; former is nil, or the policy before.
func readPolicy(ctx context.Context, r store.Reader, former *authz.Policy) ([]authz.RoleSpec, *authz.Policy, error) {
	specs, err := r.Policy(ctx)
	if err != nil {
		return nil, nil, err
	}
	if former == nil {
		former = &authz.Policy{}
	}
	policy, err := former.Recompile(specs)
	return specs, policy, err
}

// Subject returns what is known of a user: of one that is not registered and
// holds nothing, just that.
func (v *View) Subject(name string) (*authz.Subject, error) {
	if v.through != nil {
		return readSubject(v.ctx, v.through, name)
	}
	t := v.tenant
	key := subjectKey{t, t.subjectGeneration.Load(), name}
	if subject, ok := t.live.subjects.GetIfPresent(key); ok {
		return subject, nil
	}
	var subject *authz.Subject
	err := t.read(v.ctx, "user "+name, func(ctx context.Context, r store.Reader) (err error) {
		subject, err = readSubject(ctx, r, name)
		return err
	}, func() int64 { return max(t.subjectsAt, t.touchedAt(name)) }, func() {
		t.live.subjects.Set(subjectKey{t, t.subjectGeneration.Load(), name}, subject)
	})
	if err != nil {
		return nil, err
	}
	if subject != nil {
		return subject, nil
	}
	return v.Subject(name) // another flight read it
}

func readSubject(ctx context.Context, r store.Reader, name string) (*authz.Subject, error) {
	user, _, err := r.User(ctx, name)
	if err != nil {
		return nil, err
	}
	holdings, err := r.Holdings(ctx, name)
	if err != nil {
		return nil, err
	}
	return authz.NewSubject(name, user.Inactive, user.Properties, holdings), nil
}

// Node returns a scope or a resource; nil where it is not stored.
func (v *View) Node(node authz.Node) (*store.NodeRecord, error) {
	if v.through != nil {
		return readNode(v.ctx, v.through, node)
	}
	t := v.tenant
	key := nodeKey{t, t.nodeGeneration.Load(), node}
	if record, ok := t.live.nodes.GetIfPresent(key); ok {
		return record, nil
	}
	var record *store.NodeRecord
	var ran bool
	err := t.read(v.ctx, "node "+node.String(), func(ctx context.Context, r store.Reader) (err error) {
		ran = true
		record, err = readNode(ctx, r, node)
		return err
	}, func() int64 { return max(t.nodesAt, t.touchedAt(node)) }, func() {
		t.live.nodes.Set(nodeKey{t, t.nodeGeneration.Load(), node}, record)
	})
	if err != nil {
		return nil, err
	}
	if ran {
		return record, nil
	}
	return v.Node(node) // another flight read it
}

func readNode(ctx context.Context, r store.Reader, node authz.Node) (*store.NodeRecord, error) {
	record, stored, err := r.Node(ctx, node)
	if err != nil || !stored {
		return nil, err
	}
	return &record, nil
}
