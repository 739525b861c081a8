package engine

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/internal/fault"
	"github.com/gatehouse/gatehouse/internal/live"
	"github.com/gatehouse/gatehouse/internal/store"
)

// Searches turn Check round: the database narrows down who or what may be found,
// and the decision rule picks from that. A page rests on one snapshot. It may be
// short, or empty, before the last one: List.Next alone tells where a list ends.
// What may be found all the while is on exactly one page, whatever changes between
// them.

const (
	// maxDecisions is about how many candidates are decided on for one page, so that
	// a page takes bounded time where few of them are found. It takes half of the time
	// that its caller has, too: the rest is for what has begun, and for the answer.
	maxDecisions = 20_000
	// Candidates are read in chunks of at least and at most so many.
	minChunk, maxChunk = 64, 1000
)

// Subjects lists the users who may do what request asks for, whose User does not
// count: of those that the tenant knows, which are the registered, the holders of
// roles and members of groups anywhere, and the owners.
func (t *Tenant) Subjects(ctx context.Context, request authz.Request, page authz.Page) (authz.List[string], error) {
	request.User = ""
	if err := validatePermission(request.Permission); err != nil {
		return authz.List[string]{}, err
	}
	if err := validateRequested(request.Resource); err != nil {
		return authz.List[string]{}, err
	}
	return t.search(ctx, page, "subjects", "", request, (*search).subjects)
}

// ResourcesFor lists the ids of the stored resources of a type, or of the scopes of
// a kind, on which request is allowed. Of request's Resource only the Properties
// count, which override those of every resource.
func (t *Tenant) ResourcesFor(ctx context.Context, request authz.Request, resourceType string, page authz.Page) (authz.List[string], error) {
	if err := validateUser(request.User); err != nil {
		return authz.List[string]{}, err
	}
	if err := validatePermission(request.Permission); err != nil {
		return authz.List[string]{}, err
	}
	if err := authz.ValidateID(resourceType); err != nil {
		return authz.List[string]{}, invalid("resource.type", err)
	}
	var properties map[string]any
	if request.Resource != nil {
		properties = request.Resource.Properties
	}
	request.Resource = &authz.RequestedResource{Node: authz.Node{Type: resourceType}, Properties: properties}
	return t.search(ctx, page, "resources", resourceType, request, (*search).resources)
}

// Actions lists the permissions that request would be allowed for, whose own does
// not count: of those that the tenant knows, which are granted somewhere by their
// exact name or defined by a tool.
func (t *Tenant) Actions(ctx context.Context, request authz.Request, page authz.Page) (authz.List[string], error) {
	request.Permission = ""
	if err := validateUser(request.User); err != nil {
		return authz.List[string]{}, err
	}
	if err := validateRequested(request.Resource); err != nil {
		return authz.List[string]{}, err
	}
	return t.search(ctx, page, "actions", "", request, (*search).actions)
}

// search is what one page of a search rests on.
type search struct {
	ctx      context.Context
	reader   store.Reader
	known    *snapshotFacts
	policy   *authz.Policy
	request  authz.Request
	now      time.Time
	revision int64
}

// finder is one kind of search: what may be found, and whether it is.
type finder struct {
	// candidates lists, from behind a name, what may be found, sorted.
	candidates func(after string, limit int) ([]string, error)
	// load reads what is known of the next few candidates, and lets go of that of those
	// before. Nil where nothing is.
	load func(names []string) error
	// found decides on a candidate that is loaded.
	found func(name string) (bool, error)
}

// search answers one page. What is asked identifies the question, with the request.
func (t *Tenant) search(
	ctx context.Context, page authz.Page, asked, about string, request authz.Request, prepare func(*search) (finder, error),
) (authz.List[string], error) {
	limit, err := pageLimit(page)
	if err != nil {
		return authz.List[string]{}, err
	}
	if err := validateSent(request); err != nil {
		return authz.List[string]{}, err
	}
	if request.SubjectType != "" {
		return authz.List[string]{}, fault.Invalid("subject_type: searches are about users alone")
	}
	request.Explain = false
	encoded, err := json.Marshal(request)
	if err != nil {
		return authz.List[string]{}, invalid("properties", err)
	}
	asked = question(asked, about, string(encoded))
	after, err := parseCursor(page.Cursor, asked, 1)
	if err != nil {
		return authz.List[string]{}, err
	}
	var result authz.List[string]
	err = t.searching(ctx, request, func(s *search) error {
		result = authz.List[string]{Revision: s.revision}
		f, err := prepare(s)
		if err != nil {
			return err
		}
		var last string
		if result.Items, last, err = f.page(after[0], limit, halfTime(ctx)); err == nil && last != "" {
			result.Next = cursor(asked, name(last))
		}
		return err
	})
	if err != nil {
		return authz.List[string]{}, err
	}
	return result, nil
}

// searching makes a search on one snapshot, perhaps again on another. The policy in
// memory serves where it is the snapshot's own.
func (t *Tenant) searching(ctx context.Context, request authz.Request, do func(*search) error) error {
	if err := authz.ValidateID(t.id); err != nil {
		return invalid("tenant", err)
	}
	now := t.engine.now()
	var policy *authz.Policy
	basis, err := t.ask(ctx, func(view *live.View) (err error) {
		policy, err = view.Policy()
		return err
	})
	if err != nil {
		return err
	}
	return t.engine.store.ViewAnywhere(ctx, t.id, store.WantRevision, func(r store.Reader) (err error) {
		s := &search{ctx: ctx, reader: r, known: newSnapshotFacts(ctx, r), policy: policy, request: request, now: now}
		if s.revision, err = r.Revision(ctx); err != nil {
			return err
		}
		if s.revision != basis.Revision {
			if s.policy, err = s.known.view.Policy(); err != nil {
				return err
			}
		}
		return do(s)
	})
}

// halfTime is when half of the time that a caller has will be over; zero where the
// caller has no end.
func halfTime(ctx context.Context) time.Time {
	end, ends := ctx.Deadline()
	if !ends {
		return time.Time{}
	}
	now := time.Now()
	return now.Add(end.Sub(now) / 2)
}

// page finds up to limit names from behind one, until a time, where that is not zero,
// and looks at one in any case. last is where the next page begins; empty where there
// is none.
func (f finder) page(after string, limit int, until time.Time) (items []string, last string, err error) {
	// One more than asked for tells whether there is a next page.
	chunk := min(max(limit+1, minChunk), maxChunk)
	for decided := 0; ; {
		if decided >= maxDecisions {
			return items, after, nil
		}
		candidates, err := f.candidates(after, chunk)
		if err != nil {
			return nil, "", err
		}
		for loaded := range slices.Chunk(candidates, heavyChunk) {
			if f.load != nil {
				if err := f.load(loaded); err != nil {
					return nil, "", err
				}
			}
			for _, candidate := range loaded {
				if decided > 0 && !until.IsZero() && !time.Now().Before(until) {
					return items, after, nil
				}
				found, err := f.found(candidate)
				if err != nil {
					return nil, "", err
				}
				if found && len(items) == limit {
					return items, items[limit-1], nil
				}
				if found {
					items = append(items, candidate)
				}
				decided, after = decided+1, candidate
			}
		}
		if len(candidates) < chunk {
			return items, "", nil
		}
		// Where little is found, much must be looked at, at a chunk's price each time.
		chunk = min(2*chunk, maxChunk)
	}
}

// nothing finds nothing.
var nothing = finder{candidates: func(string, int) ([]string, error) { return nil, nil }}

// subjects prepares a search for users: everybody where Everyone may be granted what
// is asked for, else who holds a role that may, and the owner.
func (s *search) subjects() (finder, error) {
	places, err := path(s.known, s.request.Resource)
	if err != nil {
		return nothing, err
	}
	q := &authz.Question{
		Permission: s.request.Permission, Path: places, NowMicros: s.now.UnixMicro(),
		ActionProperties: s.request.ActionProperties, Context: s.request.Context,
	}
	at := make([]authz.Node, len(places))
	for i, place := range places {
		at[i] = place.Node
	}
	return finder{
		candidates: func(after string, limit int) ([]string, error) { return s.users(places, after, limit) },
		load:       func(users []string) error { return s.known.readSubjects(users, at) },
		found: func(user string) (bool, error) {
			subject, err := s.known.Subject(user)
			if err != nil {
				return false, err
			}
			q.Subject = subject.With(authz.Merge(subject.Properties, s.request.UserProperties))
			return s.policy.Check(q), nil
		},
	}, nil
}

func (s *search) users(places []authz.Place, after string, limit int) ([]string, error) {
	permission := s.request.Permission
	var parts [][]string
	if owner := places[0].Owner; owner > after {
		parts = append(parts, []string{owner})
	}
	if s.policy.RoleHolds(authz.Everyone, permission) {
		known, err := s.reader.KnownUsers(s.ctx, after, limit)
		return merge(append(parts, known), limit), err
	}
	roles := s.policy.RolesThatCan(permission)
	if len(roles) == 0 {
		return merge(parts, limit), nil
	}
	for _, place := range places {
		holders, err := s.reader.Holders(s.ctx, store.HoldersQuery{Roles: roles, Node: place.Node, At: s.now}, after, limit)
		if err != nil {
			return nil, err
		}
		parts = append(parts, holders)
	}
	return merge(parts, limit), nil
}

// resources prepares a search for nodes of a type: all of them where the user may
// be granted what is asked for at the root, else those that the user owns, and
// those at or below the nodes where the user holds a role that may.
func (s *search) resources() (finder, error) {
	subject, err := s.known.Subject(s.request.User)
	if err != nil {
		return nothing, err
	}
	if subject.Inactive {
		return nothing, nil
	}
	reach := s.reach(subject)
	return finder{
		candidates: func(after string, limit int) ([]string, error) { return s.nodes(reach, after, limit) },
		load:       func(ids []string) error { return s.known.readNodes(s.request.Resource.Type, ids) },
		found: func(id string) (bool, error) {
			resource := *s.request.Resource
			resource.ID = id
			if stored, err := s.known.Node(resource.Node); err != nil || stored == nil {
				return false, err
			}
			request := s.request
			request.Resource = &resource
			q, err := complete(s.known, &request, s.now.UnixMicro())
			return err == nil && s.policy.Check(q), err
		},
	}, nil
}

// reach is where a user may be granted what a search asks for.
type reach struct {
	everywhere bool
	// owned tells that the user may be where they own the resource.
	owned bool
	// within are scopes, by their kind, below which the user may be.
	within map[authz.Kind][]string
	// at are ids of the type that is searched for, sorted, at which the user may be.
	at []string
}

func (s *search) reach(subject *authz.Subject) reach {
	permission, nodeType := s.request.Permission, s.request.Resource.Type
	r := reach{
		everywhere: s.policy.RoleHolds(authz.Everyone, permission),
		owned:      s.policy.RoleHolds(authz.Owner, permission),
		within:     map[authz.Kind][]string{},
	}
	can := map[string]bool{}
	for _, role := range s.policy.RolesThatCan(permission) {
		can[role] = true
	}
	for h := range subject.All() {
		if !can[h.Role] || !h.ValidAt(s.now.UnixMicro()) {
			continue
		}
		if h.Node == authz.Root {
			r.everywhere = true
		}
		if h.Node.Type == nodeType {
			r.at = append(r.at, h.Node.ID)
		}
		if authz.IsScopeKind(h.Node.Type) {
			kind := authz.Kind(h.Node.Type)
			r.within[kind] = append(r.within[kind], h.Node.ID)
		}
	}
	slices.Sort(r.at)
	r.at = slices.Compact(r.at)
	return r
}

func (s *search) nodes(reach reach, after string, limit int) ([]string, error) {
	nodeType := s.request.Resource.Type
	if reach.everywhere {
		return s.reader.NodesOfType(s.ctx, nodeType, after, limit)
	}
	from, found := slices.BinarySearch(reach.at, after)
	if found {
		from++
	}
	parts := [][]string{reach.at[from:]}
	if reach.owned {
		ids, err := s.reader.NodesOwned(s.ctx, nodeType, s.request.User, after, limit)
		if err != nil {
			return nil, err
		}
		parts = append(parts, ids)
	}
	for kind, scopes := range reach.within {
		query := store.WithinQuery{NodeType: nodeType, Kind: kind, IDs: scopes}
		ids, err := s.reader.NodesWithin(s.ctx, query, after, limit)
		if err != nil {
			return nil, err
		}
		parts = append(parts, ids)
	}
	return merge(parts, limit), nil
}

// actions prepares a search for permissions.
func (s *search) actions() (finder, error) {
	q, err := complete(s.known, &s.request, s.now.UnixMicro())
	if err != nil {
		return nothing, err
	}
	return finder{
		candidates: func(after string, limit int) ([]string, error) { return s.reader.KnownPermissions(s.ctx, after, limit) },
		found: func(permission string) (bool, error) {
			q.Permission = permission
			return s.policy.Check(q), nil
		},
	}, nil
}

// merge returns the first names of several sorted lists, each once. Where every
// list holds its own first names, so does the result.
func merge(lists [][]string, limit int) []string {
	all := slices.Concat(lists...)
	slices.Sort(all)
	all = slices.Compact(all)
	return all[:min(len(all), limit)]
}
