package engine

import (
	"context"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/internal/fault"
	"github.com/gatehouse/gatehouse/internal/live"
	"github.com/gatehouse/gatehouse/internal/store"
)

// MaxChecks is how many requests one CheckBatch may hold.
const MaxChecks = 1000

// maxDepth is more than the tree is deep: root, organization, project, team,
// resource.
const maxDepth = 8

// Check answers whether a user may do something, here and now.
func (t *Tenant) Check(ctx context.Context, request authz.Request) (authz.Decision, error) {
	if err := validateRequest(request); err != nil {
		return authz.Decision{}, err
	}
	now := t.engine.now().UnixMicro()
	var decision authz.Decision
	basis, err := t.ask(ctx, func(view *live.View) (err error) {
		decision, err = decide(view, &request, now)
		return err
	})
	if err != nil {
		t.engine.counts.failed.Add(1)
		return authz.Decision{}, err
	}
	decision.Revision, decision.Stale = basis.Revision, basis.Stale
	t.engine.counts.decided(&decision)
	t.engine.decisions.offer(t, &request, &decision, now)
	return decision, nil
}

// CheckBatch answers up to 1,000 requests in their order, all at one revision.
func (t *Tenant) CheckBatch(ctx context.Context, requests []authz.Request) ([]authz.Decision, error) {
	if len(requests) == 0 || len(requests) > MaxChecks {
		return nil, fault.Invalid("checks: must be 1 to %d", MaxChecks)
	}
	for i, request := range requests {
		if err := validateRequest(request); err != nil {
			return nil, fault.Invalid("checks.%d.%v", i, err)
		}
	}
	now := t.engine.now().UnixMicro()
	decisions := make([]authz.Decision, len(requests))
	basis, err := t.ask(ctx, func(view *live.View) (err error) {
		for i := range requests {
			if err := ctx.Err(); err != nil {
				return err
			}
			if decisions[i], err = decide(view, &requests[i], now); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.engine.counts.failed.Add(uint64(len(requests)))
		return nil, err
	}
	for i := range decisions {
		decisions[i].Revision, decisions[i].Stale = basis.Revision, basis.Stale
		t.engine.counts.decided(&decisions[i])
		t.engine.decisions.offer(t, &requests[i], &decisions[i], now)
	}
	return decisions, nil
}

// ask gathers an answer at one revision, at least the one of AtLeast.
func (t *Tenant) ask(ctx context.Context, gather func(*live.View) error) (live.Basis, error) {
	if t.tx != nil {
		return live.Basis{}, fault.Invalid("batch: asks for a decision, which is made from what is committed")
	}
	return t.engine.live.Ask(ctx, t.id, t.least, gather)
}

// decide gathers what a request is about and puts it to the policy.
func decide(view *live.View, request *authz.Request, nowMicros int64) (authz.Decision, error) {
	if request.SubjectType != "" {
		return authz.Decision{}, nil
	}
	policy, err := view.Policy()
	if err != nil {
		return authz.Decision{}, err
	}
	q, err := complete(view, request, nowMicros)
	if err != nil {
		return authz.Decision{}, err
	}
	if !request.Explain {
		return authz.Decision{Allowed: policy.Check(q)}, nil
	}
	explained := policy.Explain(q)
	return authz.Decision{Allowed: explained.Allowed, Reasons: explained.Reasons, Truncated: explained.Truncated}, nil
}

// facts is what is stored of users and nodes. A node that is not is nil.
type facts interface {
	Subject(user string) (*authz.Subject, error)
	Node(node authz.Node) (*store.NodeRecord, error)
}

// complete fills a request up with what is stored.
func complete(stored facts, request *authz.Request, nowMicros int64) (*authz.Question, error) {
	subject, err := stored.Subject(request.User)
	if err != nil {
		return nil, err
	}
	if len(request.UserProperties) > 0 {
		subject = subject.With(authz.Merge(subject.Properties, request.UserProperties))
	}
	q := &authz.Question{
		Subject: subject, Permission: request.Permission, NowMicros: nowMicros,
		ActionProperties: request.ActionProperties, Context: request.Context,
	}
	q.Path, err = path(stored, request.Resource)
	return q, err
}

// atRoot is the path of a request that names no resource.
var atRoot = []authz.Place{{Node: authz.Root}}

// path is the resource, then its parents up to the root. A stored resource's owner
// and parent stand, even where they are empty; those of the request count where it
// is not stored.
func path(stored facts, resource *authz.RequestedResource) ([]authz.Place, error) {
	if resource == nil {
		return atRoot, nil
	}
	record, err := stored.Node(resource.Node)
	if err != nil {
		return nil, err
	}
	target := authz.Place{Node: resource.Node, Owner: resource.Owner, Properties: resource.Properties}
	parent := resource.Parent
	if record != nil {
		target.Owner, parent = record.Owner, record.Parent
		target.Properties = authz.Merge(record.Properties, resource.Properties)
	}
	places := append(make([]authz.Place, 0, maxDepth), target)
	for parent != authz.Root && parent != (authz.Node{}) {
		if len(places) == maxDepth {
			return nil, fault.New(fault.CodeInternal, "node %s lies deeper than the tree is", resource.Node)
		}
		if record, err = stored.Node(parent); err != nil {
			return nil, err
		}
		places = append(places, authz.Place{Node: parent})
		if record == nil {
			break
		}
		parent = record.Parent
	}
	return append(places, authz.Place{Node: authz.Root}), nil
}

func validateRequest(request authz.Request) error {
	if err := validateUser(request.User); err != nil {
		return err
	}
	if err := validatePermission(request.Permission); err != nil {
		return err
	}
	if err := validateRequested(request.Resource); err != nil {
		return err
	}
	return validateSent(request)
}

// validateRequested accepts the resource of a request, or none.
func validateRequested(r *authz.RequestedResource) error {
	if r == nil {
		return nil
	}
	if err := authz.ValidateID(r.Type); err != nil {
		return invalid("resource.type", err)
	}
	if err := authz.ValidateID(r.ID); err != nil {
		return invalid("resource.id", err)
	}
	if r.Owner != "" {
		if err := authz.ValidateID(r.Owner); err != nil {
			return invalid("resource.owner", err)
		}
	}
	if r.Parent != (authz.Node{}) && r.Parent != authz.Root {
		if !authz.IsScopeKind(r.Parent.Type) {
			return fault.Invalid("resource.parent.kind: must be organization, project or team")
		}
		if err := authz.ValidateID(r.Parent.ID); err != nil {
			return invalid("resource.parent.id", err)
		}
	}
	return nil
}
