package policyfile

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/internal/fault"
)

// Parse reads a policy. A field that there is not or that is left empty, a key or an
// item that is there twice, and a name of what is not in the file are errors, which
// tell the line; so is a file that holds nothing. All are fault.CodeInvalid. Whether
// names and conditions are good is for Apply to find.
func Parse(data []byte) (File, error) {
	var f File
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	decoder.KnownFields(true)
	switch err := decoder.Decode(&f); {
	case errors.Is(err, io.EOF):
		return File{}, fault.Invalid("the file is empty: a policy that holds nothing is {}")
	case err != nil:
		return File{}, syntaxFault(err)
	}
	if err := decoder.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return File{}, fault.Invalid("the file must hold one YAML document")
	}
	var document yaml.Node
	if err := yaml.Unmarshal(data, &document); err != nil {
		return File{}, syntaxFault(err)
	}
	f.lines = lines{}
	f.lines.collect(&document, nil)
	c := checker{file: &f}
	c.nulls(&document, nil)
	c.roles()
	c.groups()
	c.scopes()
	c.memberships()
	c.tests()
	return f, errors.Join(c.faults...)
}

// goTypes are what the decoder tells of this package, which nobody who writes YAML
// knows.
var goTypes = regexp.MustCompile(` (?:in type|into) [^\s]*policyfile\.[^\s]+`)

// syntaxFault makes one line of the decoder's errors, each of which begins with its
// line number.
func syntaxFault(err error) error {
	text := err.Error()
	if e, ok := errors.AsType[*yaml.TypeError](err); ok {
		text = strings.Join(e.Errors, "; ")
	}
	return fault.Invalid("%s", goTypes.ReplaceAllString(strings.TrimPrefix(text, "yaml: "), ""))
}

// lines holds the line of each part of a file, by the key of its path.
type lines map[string]int

// path leads to a part of a file.
type path []string

func (p path) to(names ...any) path {
	longer := slices.Clone(p)
	for _, name := range names {
		longer = append(longer, fmt.Sprint(name))
	}
	return longer
}

func (p path) key() string { return strings.Join(p, "\x00") }

func (p path) String() string { return strings.Join(p, ".") }

func (l lines) collect(node *yaml.Node, at path) {
	switch node.Kind {
	case yaml.DocumentNode:
		for _, content := range node.Content {
			l.collect(content, at)
		}
	case yaml.MappingNode:
		for i := 0; i+1 < len(node.Content); i += 2 {
			name := node.Content[i]
			part := at.to(name.Value)
			l[part.key()] = name.Line
			l.collect(node.Content[i+1], part)
		}
	case yaml.SequenceNode:
		for i, item := range node.Content {
			part := at.to(strconv.Itoa(i))
			l[part.key()] = item.Line
			l.collect(item, part)
		}
	}
}

// of is the line of a part, or of the nearest that holds it; 0 where none is known.
func (l lines) of(at path) int {
	for ; len(at) > 0; at = at[:len(at)-1] {
		if line, known := l[at.key()]; known {
			return line
		}
	}
	return 0
}

// locate says in an error which part of the file it is about.
func (f File) locate(at path, err error) error {
	text := fmt.Sprintf("%s: %v", at, err)
	if line := f.lines.of(at); line > 0 {
		text = fmt.Sprintf("line %d: %s", line, text)
	}
	return &fault.Error{Code: fault.CodeOf(err), Detail: text, Cause: err}
}

// checker gathers what is wrong with a file by itself.
type checker struct {
	file   *File
	faults []error
}

func (c *checker) fault(at path, format string, args ...any) {
	c.faults = append(c.faults, c.file.locate(at, fault.Invalid(format, args...)))
}

// nulls refuses what is left empty, for it would pass for what is not there: a
// membership without a place is one at the root, and one without an end is for ever.
func (c *checker) nulls(node *yaml.Node, at path) {
	for node.Kind == yaml.AliasNode {
		node = node.Alias
	}
	if node.Tag == "!!null" && !mayBeNull(at) {
		c.fault(at, "is left empty: leave it out, or say what it is")
	}
	switch node.Kind {
	case yaml.DocumentNode:
		c.nulls(node.Content[0], at)
	case yaml.MappingNode:
		for i := 0; i+1 < len(node.Content); i += 2 {
			part := at
			if name := node.Content[i]; name.Tag != "!!merge" {
				part = at.to(name.Value)
			}
			c.nulls(node.Content[i+1], part)
		}
	case yaml.SequenceNode:
		for i, item := range node.Content {
			c.nulls(item, at.to(i))
		}
	}
}

// mayBeNull tells the parts that mean something where they are left empty: a role or
// a group that is only named, a grant without a condition, and what is in properties
// or a context, where null is a value.
func mayBeNull(at path) bool {
	switch {
	case len(at) == 2:
		return at[0] == "roles" || at[0] == "groups"
	case len(at) == 4 && at[0] == "roles":
		return at[2] == "grants"
	case len(at) > 3 && at[0] == "tests":
		return at[2] != "resource" || len(at) > 4 && at[3] == "properties"
	default:
		return false
	}
}

// each checks the items of a list of names: each once, each one of those that exist.
func each[T ~string](c *checker, at path, names []T, noun string, exists func(T) bool) {
	for i, name := range names {
		switch {
		case slices.Contains(names[:i], name):
			c.fault(at.to(i), "%q is there twice", name)
		case exists != nil && !exists(name):
			c.fault(at.to(i), "%s %q is not in this file", noun, name)
		}
	}
}

func (c *checker) isRole(name string) bool { _, is := c.file.Roles[name]; return is }

func (c *checker) isGroup(name string) bool { _, is := c.file.Groups[name]; return is }

func (c *checker) isScope(node authz.Node) bool {
	return slices.ContainsFunc(c.file.Scopes, func(s Scope) bool { return authz.Node{Type: string(s.Kind), ID: s.ID} == node })
}

func (c *checker) roles() {
	for _, name := range sortedKeys(c.file.Roles) {
		role, at := c.file.Roles[name], path{"roles", name}
		if authz.IsBuiltin(name) && (role.Description != "" || len(role.Inherits) > 0 || len(role.Scopes) > 0) {
			c.fault(at, "is built in: it has nothing but grants")
		}
		each(c, at.to("inherits"), role.Inherits, "role", c.isRole)
		each(c, at.to("scopes"), role.Scopes, "", nil)
	}
	if circle := c.circle(); circle != nil {
		c.fault(path{"roles", circle[0], "inherits"}, "%v", &authz.CycleError{Path: circle})
	}
}

// circle is a way from a role by those that it inherits from back to itself; nil
// where there is none.
func (c *checker) circle() []string {
	done := map[string]bool{}
	var visit func(name string, way []string) []string
	visit = func(name string, way []string) []string {
		if start := slices.Index(way, name); start >= 0 {
			return append(slices.Clone(way[start:]), name)
		}
		if done[name] {
			return nil
		}
		for _, parent := range c.file.Roles[name].Inherits {
			if circle := visit(parent, append(slices.Clone(way), name)); circle != nil {
				return circle
			}
		}
		done[name] = true
		return nil
	}
	for _, name := range sortedKeys(c.file.Roles) {
		if circle := visit(name, nil); circle != nil {
			return circle
		}
	}
	return nil
}

func (c *checker) groups() {
	for _, name := range sortedKeys(c.file.Groups) {
		group, at := c.file.Groups[name], path{"groups", name}
		each(c, at.to("members"), group.Members, "", nil)
		each(c, at.to("groups"), group.Groups, "group", c.isGroup)
		each(c, at.to("roles"), group.Roles, "role", c.isRole)
	}
}

func (c *checker) scopes() {
	seen := map[authz.Node]bool{}
	for i, scope := range c.file.Scopes {
		at := path{"scopes"}.to(i)
		above, err := authz.ParentKind(scope.Kind)
		node := authz.Node{Type: string(scope.Kind), ID: scope.ID}
		switch {
		case err != nil:
			c.fault(at.to("kind"), "%v", err)
		case above == authz.KindTenant && scope.Parent != "":
			c.fault(at.to("parent"), "an %s hangs under the root: it has no parent", scope.Kind)
		case above != authz.KindTenant && scope.Parent == "":
			c.fault(at, "a %s needs a parent: the id of its %s", scope.Kind, above)
		case above != authz.KindTenant && !c.isScope(scope.parent()):
			c.fault(at.to("parent"), "%s is not in this file", scope.parent())
		case seen[node]:
			c.fault(at, "%s is there twice", node)
		}
		seen[node] = true
	}
}

func (c *checker) memberships() {
	seen := map[holding]bool{}
	for _, name := range sortedKeys(c.file.Groups) {
		for _, role := range c.file.Groups[name].Roles {
			seen[holding{group(name), role, authz.Root}] = true
		}
	}
	for i, m := range c.file.Memberships {
		at := path{"memberships"}.to(i)
		if (m.User == "") == (m.Group == "") {
			c.fault(at, "must name a user or a group")
			continue
		}
		if m.Group != "" && !c.isGroup(m.Group) {
			c.fault(at.to("group"), "group %q is not in this file", m.Group)
		}
		if !c.isRole(m.Role) {
			c.fault(at.to("role"), "role %q is not in this file", m.Role)
		}
		if m.At != nil && !c.isScope(m.At.node()) {
			c.fault(at.to("at"), "scope %s is not in this file", m.At.node())
		}
		c.bound(at.to("not_before"), m.NotBefore)
		c.bound(at.to("expires_at"), m.ExpiresAt)
		held := holding{m.subject(), m.Role, m.At.node()}
		if seen[held] {
			c.fault(at, "%s is there twice", held)
		}
		seen[held] = true
	}
}

// bound refuses what is kept as the zero time, which would count as none and so turn
// an end into no end.
func (c *checker) bound(at path, bound *time.Time) {
	if bound != nil && kept(bound).IsZero() {
		c.fault(at, "must not be the zero time; leave it out to set no bound")
	}
}

func (c *checker) tests() {
	for i := range c.file.Tests {
		test, at := &c.file.Tests[i], path{"tests"}.to(i)
		if test.Want != Allowed && test.Want != Denied {
			c.fault(at.to("want"), "must be %q or %q", Allowed, Denied)
		}
		c.properties(at.to("user_properties"), &test.UserProperties)
		c.properties(at.to("action_properties"), &test.ActionProperties)
		c.properties(at.to("context"), &test.Context)
		if test.Resource != nil {
			c.resource(at.to("resource"), test.Resource)
		}
	}
}

// resource checks that a test asks about what there is: what is nowhere would be
// denied, and so pass a test that wants it to be.
func (c *checker) resource(at path, r *Resource) {
	c.properties(at.to("properties"), &r.Properties)
	if node := (authz.Node{Type: r.Type, ID: r.ID}); authz.IsScopeKind(r.Type) && !c.isScope(node) {
		c.fault(at, "scope %s is not in this file", node)
	}
	if r.Parent != nil && !c.isScope(r.Parent.node()) {
		c.fault(at.to("parent"), "scope %s is not in this file", r.Parent.node())
	}
}

// properties makes of YAML's values what a request in JSON would bring.
func (c *checker) properties(at path, properties *map[string]any) {
	if *properties == nil {
		return
	}
	if err := authz.ValidateProperties(*properties); err != nil {
		c.fault(at, "%v", err)
		return
	}
	encoded, err := json.Marshal(*properties)
	if err == nil {
		*properties = nil
		err = json.Unmarshal(encoded, properties)
	}
	if err != nil {
		c.fault(at, "is not what JSON can carry: %v", err)
	}
}
