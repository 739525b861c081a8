// Package policyfile keeps a tenant's policy in a YAML file, for people to read and
// to review: roles, groups, scopes, memberships, and tests of what they decide.
// docs/policy.md describes the form.
//
// Parse reads a file, Read makes one of a tenant, and Apply brings a tenant to what a
// file says. Users, resources and what hangs on resources are data, not policy: they
// are not in it.
package policyfile

import (
	"bytes"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/gatehouse/gatehouse/authz"
)

// File is a policy. What it names, it holds: each role, group and scope that a part
// of it refers to is another part of it.
type File struct {
	Roles       map[string]Role  `yaml:"roles,omitempty"`
	Groups      map[string]Group `yaml:"groups,omitempty"`
	Scopes      []Scope          `yaml:"scopes,omitempty"`
	Memberships []Membership     `yaml:"memberships,omitempty"`
	Tests       []Test           `yaml:"tests,omitempty"`

	// lines holds the line of each part, by its path; empty for a File that was not
	// parsed.
	lines lines
}

// Role is a role with its grants. The built-in ones have nothing but grants.
type Role struct {
	Description string       `yaml:"description,omitempty"`
	Inherits    []string     `yaml:"inherits,omitempty,flow"`
	Scopes      []authz.Kind `yaml:"scopes,omitempty,flow"`
	// Grants holds the condition of each permission; an empty one is always true.
	Grants map[string]string `yaml:"grants,omitempty"`
}

// Group is a group with those who are in it, and the roles that it holds at the
// tenant's root for ever.
type Group struct {
	Description string   `yaml:"description,omitempty"`
	Members     []string `yaml:"members,omitempty,flow"`
	Groups      []string `yaml:"groups,omitempty,flow"`
	Roles       []string `yaml:"roles,omitempty,flow"`
}

// Scope is an organization, a project or a team.
type Scope struct {
	Kind authz.Kind `yaml:"kind"`
	ID   string     `yaml:"id"`
	// Parent is the id of the organization of a project, or of the project of a team.
	Parent string `yaml:"parent,omitempty"`
	Name   string `yaml:"name,omitempty"`
}

// ScopeRef names a scope.
type ScopeRef struct {
	Kind authz.Kind `yaml:"kind"`
	ID   string     `yaml:"id"`
}

// Membership says that a user or a group holds a role at a scope.
type Membership struct {
	User  string `yaml:"user,omitempty"`
	Group string `yaml:"group,omitempty"`
	Role  string `yaml:"role"`
	// At is nil for the tenant's root.
	At        *ScopeRef  `yaml:"at,omitempty,flow"`
	NotBefore *time.Time `yaml:"not_before,omitempty"`
	ExpiresAt *time.Time `yaml:"expires_at,omitempty"`
}

// Test is an expected decision.
type Test struct {
	User             string         `yaml:"user"`
	Permission       string         `yaml:"permission"`
	Resource         *Resource      `yaml:"resource,omitempty"`
	UserProperties   map[string]any `yaml:"user_properties,omitempty"`
	ActionProperties map[string]any `yaml:"action_properties,omitempty"`
	Context          map[string]any `yaml:"context,omitempty"`
	// Want is Allowed or Denied.
	Want string `yaml:"want"`
}

// The decisions that a Test can want.
const (
	Allowed = "allowed"
	Denied  = "denied"
)

// Resource is what a Test asks about: a scope of the file, or a resource as it is
// described here.
type Resource struct {
	Type       string         `yaml:"type"`
	ID         string         `yaml:"id"`
	Owner      string         `yaml:"owner,omitempty"`
	Parent     *ScopeRef      `yaml:"parent,omitempty"`
	Properties map[string]any `yaml:"properties,omitempty"`
}

// Marshal writes a policy: the same one always in the same form.
func (f File) Marshal() ([]byte, error) {
	var b bytes.Buffer
	encoder := yaml.NewEncoder(&b)
	encoder.SetIndent(2)
	if err := encoder.Encode(f); err != nil {
		return nil, err
	}
	return b.Bytes(), encoder.Close()
}

// node is the scope that a reference names; the root where it names none.
func (r *ScopeRef) node() authz.Node {
	if r == nil {
		return authz.Root
	}
	return authz.Node{Type: string(r.Kind), ID: r.ID}
}

// subject is who holds the membership.
func (m Membership) subject() authz.SubjectRef {
	if m.Group != "" {
		return group(m.Group)
	}
	return user(m.User)
}

func user(name string) authz.SubjectRef { return authz.SubjectRef{Type: authz.UserType, Name: name} }

func group(name string) authz.SubjectRef { return authz.SubjectRef{Type: authz.GroupType, Name: name} }

// window is when the membership holds, as it is kept.
func (m Membership) window() authz.Window {
	return authz.Window{NotBefore: kept(m.NotBefore), ExpiresAt: kept(m.ExpiresAt)}
}

func kept(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.UTC().Truncate(time.Microsecond)
}

// parent is what the scope hangs under.
func (s Scope) parent() authz.Node {
	above, err := authz.ParentKind(s.Kind)
	if err != nil || above == authz.KindTenant {
		return authz.Root
	}
	return authz.Node{Type: string(above), ID: s.Parent}
}
