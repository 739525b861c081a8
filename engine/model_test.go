package engine_test

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/internal/fault"
)

// model is a tenant as section 2 of the design describes it, read aloud: maps of
// what was written, and no other idea of how to answer.
type model struct {
	roles       map[string]authz.RoleDetail
	grants      map[string]map[string]string // role, permission: condition
	nodes       map[authz.Node]placed
	memberships map[held]authz.Window
	groups      map[string]string // name: description
	within      map[within]bool
	users       map[string]authz.User
}

// placed is what is stored of a node.
type placed struct {
	parent     authz.Node
	owner      string
	properties map[string]any
}

// held is a membership without its window.
type held struct {
	subject authz.SubjectRef
	role    string
	node    authz.Node
}

// within says that a user or group is directly in a group.
type within struct {
	member authz.SubjectRef
	group  string
}

// outcome is what a change comes to: a refusal, or whether it changed anything.
type outcome struct {
	refused fault.Code
	changed bool
}

func newModel() *model {
	return &model{
		roles: map[string]authz.RoleDetail{}, grants: map[string]map[string]string{}, nodes: map[authz.Node]placed{},
		memberships: map[held]authz.Window{}, groups: map[string]string{}, within: map[within]bool{}, users: map[string]authz.User{},
	}
}

// The changes.

func (m *model) putRole(role authz.RoleDetail) outcome {
	for _, parent := range role.Inherits {
		if parent == role.Name || slices.Contains(m.lineage(parent), role.Name) {
			return outcome{refused: fault.CodeConflict}
		}
		if _, exists := m.roles[parent]; !exists {
			return outcome{refused: fault.CodeConflict}
		}
	}
	for h := range m.memberships {
		if h.role == role.Name && !holdableAt(role, h.node) {
			return outcome{refused: fault.CodeConflict}
		}
	}
	before, existed := m.roles[role.Name]
	m.roles[role.Name] = role
	return outcome{changed: !existed || before.Description != role.Description ||
		!slices.Equal(before.Inherits, role.Inherits) || !slices.Equal(before.Scopes, role.Scopes)}
}

func (m *model) deleteRole(name string) outcome {
	_, existed := m.roles[name]
	delete(m.roles, name)
	delete(m.grants, name)
	for heir, role := range m.roles {
		role.Inherits = slices.DeleteFunc(slices.Clone(role.Inherits), func(parent string) bool { return parent == name })
		m.roles[heir] = role
	}
	maps.DeleteFunc(m.memberships, func(h held, _ authz.Window) bool { return h.role == name })
	return outcome{changed: existed}
}

func (m *model) putGrant(role string, grant authz.Grant) outcome {
	if _, exists := m.roles[role]; !exists && !authz.IsBuiltin(role) {
		return outcome{refused: fault.CodeNotFound}
	}
	if m.grants[role] == nil {
		m.grants[role] = map[string]string{}
	}
	before, existed := m.grants[role][grant.Permission]
	m.grants[role][grant.Permission] = grant.Condition
	return outcome{changed: !existed || before != grant.Condition}
}

func (m *model) addPermission(role, permission string) outcome {
	if _, exists := m.grants[role][permission]; exists {
		return outcome{}
	}
	return m.putGrant(role, authz.Grant{Permission: permission})
}

func (m *model) deletePermission(role, permission string) outcome {
	_, existed := m.grants[role][permission]
	delete(m.grants[role], permission)
	return outcome{changed: existed}
}

func (m *model) putNode(node authz.Node, stored placed) outcome {
	if !m.exists(stored.parent) {
		return outcome{refused: fault.CodeNotFound}
	}
	before, existed := m.nodes[node]
	m.nodes[node] = stored
	return outcome{changed: !existed || before.parent != stored.parent || before.owner != stored.owner ||
		!maps.Equal(before.properties, stored.properties)}
}

func (m *model) deleteNode(node authz.Node) outcome {
	_, existed := m.nodes[node]
	delete(m.nodes, node)
	maps.DeleteFunc(m.memberships, func(h held, _ authz.Window) bool { return h.node == node })
	for below, stored := range maps.Clone(m.nodes) {
		if stored.parent == node {
			m.deleteNode(below)
		}
	}
	return outcome{changed: existed}
}

func (m *model) putMembership(membership authz.Membership) outcome {
	role, exists := m.roles[membership.Role]
	if !exists || !m.exists(membership.Node) {
		return outcome{refused: fault.CodeNotFound}
	}
	if !holdableAt(role, membership.Node) {
		return outcome{refused: fault.CodeConflict}
	}
	m.name(membership.Subject)
	key := held{membership.Subject, membership.Role, membership.Node}
	before, existed := m.memberships[key]
	m.memberships[key] = membership.Window
	return outcome{changed: !existed || before != membership.Window}
}

func (m *model) removeMembership(key held) outcome {
	_, existed := m.memberships[key]
	delete(m.memberships, key)
	return outcome{changed: existed}
}

func (m *model) putGroup(group authz.Group) outcome {
	before, existed := m.groups[group.Name]
	m.groups[group.Name] = group.Description
	return outcome{changed: !existed || before != group.Description}
}

func (m *model) deleteGroup(name string) outcome {
	_, existed := m.groups[name]
	delete(m.groups, name)
	m.dropSubject(groupRef(name))
	maps.DeleteFunc(m.within, func(w within, _ bool) bool { return w.group == name })
	return outcome{changed: existed}
}

func (m *model) addToGroup(group string, member authz.SubjectRef) outcome {
	if member.Type == authz.GroupType && slices.Contains(m.subjects(groupRef(group)), member) {
		return outcome{refused: fault.CodeConflict}
	}
	m.name(groupRef(group))
	m.name(member)
	w := within{member, group}
	existed := m.within[w]
	m.within[w] = true
	return outcome{changed: !existed}
}

func (m *model) removeFromGroup(group string, member authz.SubjectRef) outcome {
	w := within{member, group}
	existed := m.within[w]
	delete(m.within, w)
	return outcome{changed: existed}
}

func (m *model) putUser(user authz.User) outcome {
	before, existed := m.users[user.Name]
	m.users[user.Name] = user
	return outcome{changed: !existed || before.Inactive != user.Inactive || !maps.Equal(before.Properties, user.Properties)}
}

func (m *model) deleteUser(name string) outcome {
	_, existed := m.users[name]
	delete(m.users, name)
	existed = m.dropSubject(userRef(name)) || existed
	for node, stored := range m.nodes {
		if stored.owner == name {
			stored.owner, existed = "", true
			m.nodes[node] = stored
		}
	}
	return outcome{changed: existed}
}

// dropSubject takes all that a subject holds, and its places in groups.
func (m *model) dropSubject(subject authz.SubjectRef) bool {
	before := len(m.memberships) + len(m.within)
	maps.DeleteFunc(m.memberships, func(h held, _ authz.Window) bool { return h.subject == subject })
	maps.DeleteFunc(m.within, func(w within, _ bool) bool { return w.member == subject })
	return len(m.memberships)+len(m.within) < before
}

// name creates a group that is named.
func (m *model) name(subject authz.SubjectRef) {
	if _, exists := m.groups[subject.Name]; subject.Type == authz.GroupType && !exists {
		m.groups[subject.Name] = ""
	}
}

func (m *model) exists(node authz.Node) bool {
	_, stored := m.nodes[node]
	return stored || node == authz.Root
}

func holdableAt(role authz.RoleDetail, node authz.Node) bool {
	return len(role.Scopes) == 0 || slices.Contains(role.Scopes, node.Kind())
}

// The questions.

// ways lists every way in which a request is allowed: the role held, where and by
// which group, and the role and permission of the grant.
func (m *model) ways(request authz.Request, now time.Time) []string {
	if m.users[request.User].Inactive {
		return nil
	}
	path, owner, properties := m.path(request.Resource)
	var ways []string
	try := func(role, group string, at authz.Node) {
		for _, granting := range m.lineage(role) {
			for permission, condition := range m.grants[granting] {
				if matches(permission, request.Permission) && m.holds(condition, request, properties) {
					ways = append(ways, way(role, at, group, granting, permission))
				}
			}
		}
	}
	for _, node := range path {
		for _, subject := range m.subjects(userRef(request.User)) {
			for h, window := range m.memberships {
				if h.subject == subject && h.node == node && validAt(window, now) {
					try(h.role, groupName(subject), node)
				}
			}
		}
	}
	if owner == request.User {
		try(authz.Owner, "", path[0])
	}
	try(authz.Everyone, "", authz.Root)
	slices.Sort(ways)
	return ways
}

func way(role string, at authz.Node, group, granting, permission string) string {
	return strings.Join([]string{role, at.String(), group, granting, permission}, " ")
}

// path is the resource and what is above it, with the resource's owner and
// properties.
func (m *model) path(resource *authz.RequestedResource) ([]authz.Node, string, map[string]any) {
	if resource == nil {
		return []authz.Node{authz.Root}, "", nil
	}
	target := placed{parent: resource.Parent, owner: resource.Owner}
	if stored, ok := m.nodes[resource.Node]; ok {
		target = stored
	}
	properties := map[string]any{}
	maps.Copy(properties, target.properties)
	maps.Copy(properties, resource.Properties)
	path := []authz.Node{resource.Node}
	for parent := target.parent; parent != authz.Root && parent != (authz.Node{}); parent = m.nodes[parent].parent {
		path = append(path, parent)
	}
	return append(path, authz.Root), target.owner, properties
}

// holds knows the conditions that the walks use.
func (m *model) holds(condition string, request authz.Request, resource map[string]any) bool {
	switch condition {
	case "", "true":
		return true
	case "context.ok == true":
		return request.Context["ok"] == true
	case "resource.properties.open == true":
		return resource["open"] == true
	case "subject.properties.vip == true":
		subject := map[string]any{}
		maps.Copy(subject, m.users[request.User].Properties)
		maps.Copy(subject, request.UserProperties)
		return subject["vip"] == true
	default:
		return false
	}
}

// subjects is a subject, and every group that it is in, directly or not.
func (m *model) subjects(subject authz.SubjectRef) []authz.SubjectRef {
	all := []authz.SubjectRef{subject}
	for i := 0; i < len(all); i++ {
		for w := range m.within {
			if group := groupRef(w.group); w.member == all[i] && !slices.Contains(all, group) {
				all = append(all, group)
			}
		}
	}
	return all
}

// lineage is a role, and every role that it inherits from, directly or not.
func (m *model) lineage(role string) []string {
	all := []string{role}
	for i := 0; i < len(all); i++ {
		for _, parent := range m.roles[all[i]].Inherits {
			if !slices.Contains(all, parent) {
				all = append(all, parent)
			}
		}
	}
	return all
}

func (m *model) roleHolds(role, permission string) bool {
	for _, granting := range m.lineage(role) {
		for granted := range m.grants[granting] {
			if matches(granted, permission) {
				return true
			}
		}
	}
	return false
}

func (m *model) rolePermissions(role string) []string {
	var permissions []string
	for _, granting := range m.lineage(role) {
		permissions = slices.AppendSeq(permissions, maps.Keys(m.grants[granting]))
	}
	return once(permissions)
}

func (m *model) rolesThatCan(permission string) []string {
	var roles []string
	for role := range m.roles {
		if m.roleHolds(role, permission) {
			roles = append(roles, role)
		}
	}
	return once(roles)
}

// rolesAtRoot are those that a user holds there, the built-in ones left out.
func (m *model) rolesAtRoot(user string, now time.Time) []string {
	var roles []string
	for _, subject := range m.subjects(userRef(user)) {
		for h, window := range m.memberships {
			if h.subject == subject && h.node == authz.Root && validAt(window, now) {
				roles = append(roles, h.role)
			}
		}
	}
	return once(roles)
}

// userPermissions are the grants that apply to a user at the root.
func (m *model) userPermissions(user string, now time.Time) []string {
	if m.users[user].Inactive {
		return nil
	}
	var permissions []string
	for _, role := range append(m.rolesAtRoot(user, now), authz.Everyone) {
		for _, granting := range m.lineage(role) {
			for permission, condition := range m.grants[granting] {
				if m.holds(condition, authz.Request{User: user}, nil) {
					permissions = append(permissions, permission)
				}
			}
		}
	}
	return once(permissions)
}

// members lists which of users hold one of roles at the root.
func (m *model) members(users, roles []string, activeOnly bool, now time.Time) []authz.Member {
	var members []authz.Member
	for _, user := range users {
		for _, role := range m.rolesAtRoot(user, now) {
			if slices.Contains(roles, role) && !(activeOnly && m.users[user].Inactive) {
				members = append(members, authz.Member{User: user, Role: role})
			}
		}
	}
	slices.SortFunc(members, func(a, b authz.Member) int {
		return cmp.Or(cmp.Compare(a.User, b.User), cmp.Compare(a.Role, b.Role))
	})
	return members
}

func matches(granted, permission string) bool {
	if prefix, wild := strings.CutSuffix(granted, "*"); wild {
		return strings.HasPrefix(permission, prefix)
	}
	return granted == permission
}

func validAt(window authz.Window, now time.Time) bool {
	return !now.Before(window.NotBefore) && (window.ExpiresAt.IsZero() || now.Before(window.ExpiresAt))
}

func once(names []string) []string {
	slices.Sort(names)
	return slices.Compact(names)
}

func userRef(name string) authz.SubjectRef {
	return authz.SubjectRef{Type: authz.UserType, Name: name}
}

func groupRef(name string) authz.SubjectRef {
	return authz.SubjectRef{Type: authz.GroupType, Name: name}
}

func groupName(subject authz.SubjectRef) string {
	if subject.Type == authz.GroupType {
		return subject.Name
	}
	return ""
}
