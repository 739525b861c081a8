package server

import (
	"bytes"
	"encoding/json"
	"slices"
	"unicode/utf8"

	"github.com/gatehouse/gatehouse/authz"
)

// This file reads plain questions to the decision endpoints. To decode a body into
// maps and hold those to a schema costs many times what the decision does. A
// question is plain where it is good, short, asks for no reasons, and says each
// thing once and without escapes. Whatever is not is left to the generic way, so
// that nothing is refused here and each refusal has one place.

// question is a plain question.
type question struct {
	request authz.Request
	// resource is where request.Resource points, if anywhere.
	resource authz.RequestedResource
	// subjectType is AuthZEN's; empty for a check.
	subjectType string
}

// plainQuestions say what a plain question to an operation may hold, by the
// operation's pattern. They may say less than openapi.yaml, never more.
var plainQuestions = map[string][]member{
	"POST /api/check": {
		{key: "user", required: true, name: func(q *question) *string { return &q.request.User }},
		{key: "permission", required: true, name: func(q *question) *string { return &q.request.Permission }},
		{key: "resource", object: []member{
			{key: "type", required: true, name: func(q *question) *string { return &q.resource.Type }},
			{key: "id", required: true, name: func(q *question) *string { return &q.resource.ID }},
			{key: "owner", name: func(q *question) *string { return &q.resource.Owner }},
			{key: "properties", properties: func(q *question) *map[string]any { return &q.resource.Properties }},
		}},
		{key: "context", properties: func(q *question) *map[string]any { return &q.request.Context }},
	},
	"POST /access/v1/evaluation": {
		{key: "subject", required: true, object: []member{
			{key: "type", required: true, name: func(q *question) *string { return &q.subjectType }},
			{key: "id", required: true, name: func(q *question) *string { return &q.request.User }},
			{key: "properties", properties: func(q *question) *map[string]any { return &q.request.UserProperties }},
		}},
		{key: "action", required: true, object: []member{
			{key: "name", required: true, name: func(q *question) *string { return &q.request.Permission }},
			{key: "properties", properties: func(q *question) *map[string]any { return &q.request.ActionProperties }},
		}},
		{key: "resource", required: true, object: []member{
			{key: "type", required: true, name: func(q *question) *string { return &q.resource.Type }},
			{key: "id", required: true, name: func(q *question) *string { return &q.resource.ID }},
			{key: "properties", properties: func(q *question) *map[string]any { return &q.resource.Properties }},
		}},
		{key: "context", properties: func(q *question) *map[string]any { return &q.request.Context }},
	},
}

// member is a member that an object may have. One of name, properties and object
// says what its value is, and the first two where it goes.
type member struct {
	key      string
	required bool
	// name is for a string that authz.ValidateID accepts.
	name       func(*question) *string
	properties func(*question) *map[string]any
	object     []member
}

// maxPlain is how long a plain question may be, in bytes: too short for nesting or
// properties beyond any limit.
const maxPlain = 4 << 10

// readPlain reads a question that is one object of the given members. It returns nil
// for any that is not plain.
func readPlain(body []byte, members []member) *question {
	if len(body) > maxPlain || !utf8.Valid(body) {
		return nil
	}
	q := &question{}
	s := scan{rest: body, into: q}
	if !s.object(members) {
		return nil
	}
	s.skipSpace()
	if len(s.rest) > 0 || authz.ValidatePermission(q.request.Permission) != nil {
		return nil
	}
	if q.resource.ID != "" {
		q.request.Resource = &q.resource
	}
	return q
}

// scan reads JSON (RFC 8259) from the front of rest. Its methods report whether
// what they read was plain; where it was not, rest is anywhere.
type scan struct {
	rest []byte
	into *question
}

func (s *scan) object(members []member) bool {
	if !s.take('{') {
		return false
	}
	var seen uint
	for {
		key, plain := s.text()
		if !plain || !s.take(':') {
			return false
		}
		at := slices.IndexFunc(members, func(m member) bool { return m.key == string(key) })
		if at < 0 || seen&(1<<at) != 0 || !s.value(&members[at]) {
			return false
		}
		seen |= 1 << at
		if !s.take(',') {
			return s.take('}') && hasRequired(members, seen)
		}
	}
}

// hasRequired reports whether the members that an object must have are among seen.
func hasRequired(members []member, seen uint) bool {
	for i := range members {
		if members[i].required && seen&(1<<i) == 0 {
			return false
		}
	}
	return true
}

func (s *scan) value(m *member) bool {
	switch {
	case m.name != nil:
		text, plain := s.text()
		name := string(text)
		*m.name(s.into) = name
		return plain && authz.ValidateID(name) == nil
	case m.properties != nil:
		return s.properties(m.properties(s.into))
	default:
		return s.object(m.object)
	}
}

// properties reads an object of any kind, and so leaves it to package json.
func (s *scan) properties(into *map[string]any) bool {
	s.skipSpace()
	if !bytes.HasPrefix(s.rest, []byte{'{'}) {
		return false
	}
	decoder := json.NewDecoder(bytes.NewReader(s.rest))
	if decoder.Decode(into) != nil {
		return false
	}
	s.rest = s.rest[decoder.InputOffset():]
	return true
}

// text reads a string without escapes.
func (s *scan) text() ([]byte, bool) {
	if !s.take('"') {
		return nil, false
	}
	for i, c := range s.rest {
		switch {
		case c == '"':
			text := s.rest[:i]
			s.rest = s.rest[i+1:]
			return text, true
		case c == '\\', c < ' ':
			return nil, false
		}
	}
	return nil, false
}

// take takes a character, and the space before it, where it is next.
func (s *scan) take(c byte) bool {
	s.skipSpace()
	if len(s.rest) == 0 || s.rest[0] != c {
		return false
	}
	s.rest = s.rest[1:]
	return true
}

func (s *scan) skipSpace() {
	for len(s.rest) > 0 && (s.rest[0] == ' ' || s.rest[0] == '\t' || s.rest[0] == '\r' || s.rest[0] == '\n') {
		s.rest = s.rest[1:]
	}
}
