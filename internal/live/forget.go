package live

import (
	"net/url"
	"strings"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/internal/store"
)

// forget drops what changes have touched. t.mu is held. What it does not
// understand it takes for a change of everything.
func (t *tenant) forget(changes []authz.Change) {
	for _, c := range changes {
		switch c.Kind {
		case store.KindPermission:
			t.policy.Store(nil)
		case store.KindRole:
			// A role that is deleted takes its memberships along.
			t.policy.Store(nil)
			t.subjectGeneration.Add(1)
		case store.KindMembership:
			t.forgetHolder(c.Key)
		case store.KindUser:
			t.forgetUser(c.Key)
		case store.KindGroup:
			t.subjectGeneration.Add(1)
		case store.KindResource:
			t.forgetNode(c.Key)
		case store.KindScope:
			// A scope that is deleted takes the memberships in it along.
			t.nodeGeneration.Add(1)
			t.subjectGeneration.Add(1)
		case store.KindTool, store.KindSettings, store.KindClientKey:
			// No decision is made of these.
		default:
			t.forgetAll()
		}
	}
}

func (t *tenant) forgetAll() {
	t.policy.Store(nil)
	t.subjectGeneration.Add(1)
	t.nodeGeneration.Add(1)
}

// forgetHolder reads the key of a membership: "USER/ROLE" at the root, elsewhere
// "…/members/USER/roles/ROLE". A group's membership is that of many users.
func (t *tenant) forgetHolder(key string) {
	parts := strings.Split(key, "/")
	switch n := len(parts); {
	case n == 2:
		t.forgetUser(parts[0])
	case n >= 4 && parts[n-4] == "members" && parts[n-2] == "roles":
		t.forgetUser(parts[n-3])
	default:
		t.subjectGeneration.Add(1)
	}
}

// forgetUser reads the name of a user. An asterisk, which no escaped name is,
// stands for all.
func (t *tenant) forgetUser(escaped string) {
	user, err := url.PathUnescape(escaped)
	if err != nil || escaped == store.KeyAll {
		t.subjectGeneration.Add(1)
		return
	}
	t.live.subjects.Invalidate(subjectKey{t, t.subjectGeneration.Load(), user})
}

// forgetNode reads the key of a resource: "TYPE/ID". Any other stands for many.
func (t *tenant) forgetNode(key string) {
	escapedType, escapedID, _ := strings.Cut(key, "/")
	nodeType, errType := url.PathUnescape(escapedType)
	id, errID := url.PathUnescape(escapedID)
	if errType != nil || errID != nil || id == "" {
		t.nodeGeneration.Add(1)
		return
	}
	t.live.nodes.Invalidate(nodeKey{t, t.nodeGeneration.Load(), authz.Node{Type: nodeType, ID: id}})
}
