package live

import (
	"net/url"
	"strings"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/internal/store"
)

// forget drops what changes have touched. t.mu is held. What it does not
// understand it takes for a change of everything.
func (t *tenant) forget(changes []authz.Change, revision int64) {
	before := t.roles
	for _, c := range changes {
		switch c.Kind {
		case store.KindPermission:
			t.forgetPolicy(revision)
		case store.KindRole:
			t.forgetPolicy(revision)
			t.forgetHolders(c.Key, before, revision)
		case store.KindMembership:
			t.forgetHolder(c.Key, revision)
		case store.KindUser:
			t.forgetUser(c.Key, revision)
		case store.KindGroup:
			t.forgetUsers(revision)
		case store.KindResource:
			t.forgetNode(c.Key, revision)
		case store.KindScope:
			// A scope that is deleted takes the memberships in it along.
			t.forgetNodes(revision)
			t.forgetUsers(revision)
		case store.KindTool, store.KindSettings, store.KindClientKey:
			// No decision is made of these.
		default:
			t.forgetAll(revision)
		}
	}
}

func (t *tenant) forgetPolicy(revision int64) {
	t.policyAt = revision
	t.policy.Store(nil)
	t.roles = nil
}

func (t *tenant) forgetUsers(revision int64) {
	t.subjectsAt = revision
	t.subjectGeneration.Add(1)
}

func (t *tenant) forgetNodes(revision int64) {
	t.nodesAt = revision
	t.nodeGeneration.Add(1)
}

func (t *tenant) forgetAll(revision int64) {
	t.forgetPolicy(revision)
	t.forgetUsers(revision)
	t.forgetNodes(revision)
}

// forgetHolders reads the name of a role, which a change has made, altered or deleted:
// a deletion takes its memberships along. before are the roles that there were; nil
// where that is not known. One that was not among them has been made. Nobody held it
// then, and whoever came to hold it since is in a change of their own.
func (t *tenant) forgetHolders(escaped string, before map[string]bool, revision int64) {
	role, err := url.PathUnescape(escaped)
	if err != nil || before == nil || before[role] {
		t.forgetUsers(revision)
	}
}

// forgetHolder reads the key of a membership: "USER/ROLE" at the root, elsewhere
// "…/members/USER/roles/ROLE". A group's membership is that of many users.
func (t *tenant) forgetHolder(key string, revision int64) {
	parts := strings.Split(key, "/")
	switch n := len(parts); {
	case n == 2:
		t.forgetUser(parts[0], revision)
	case n >= 4 && parts[n-4] == "members" && parts[n-2] == "roles":
		t.forgetUser(parts[n-3], revision)
	default:
		t.forgetUsers(revision)
	}
}

// forgetUser reads the name of a user. An asterisk, which no escaped name is,
// stands for all.
func (t *tenant) forgetUser(escaped string, revision int64) {
	user, err := url.PathUnescape(escaped)
	if err != nil || escaped == store.KeyAll {
		t.forgetUsers(revision)
		return
	}
	t.touch(user, revision)
	t.live.subjects.Invalidate(subjectKey{t, t.subjectGeneration.Load(), user})
}

// forgetNode reads the key of a resource: "TYPE/ID". Any other stands for many.
func (t *tenant) forgetNode(key string, revision int64) {
	escapedType, escapedID, _ := strings.Cut(key, "/")
	nodeType, errType := url.PathUnescape(escapedType)
	id, errID := url.PathUnescape(escapedID)
	if errType != nil || errID != nil || id == "" {
		t.forgetNodes(revision)
		return
	}
	node := authz.Node{Type: nodeType, ID: id}
	t.touch(node, revision)
	t.live.nodes.Invalidate(nodeKey{t, t.nodeGeneration.Load(), node})
}
