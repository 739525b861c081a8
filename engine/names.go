package engine

import (
	"bytes"
	"encoding/json"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/internal/fault"
)

// invalid names the field that err finds fault with.
func invalid(field string, err error) error { return fault.Invalid("%s: %v", field, err) }

func validateUser(user string) error {
	if err := authz.ValidateID(user); err != nil {
		return invalid("user", err)
	}
	return nil
}

func validateGroup(group string) error {
	if err := authz.ValidateID(group); err != nil {
		return invalid("group", err)
	}
	return nil
}

func validateSubject(subject authz.SubjectRef) error {
	switch subject.Type {
	case authz.UserType:
		return validateUser(subject.Name)
	case authz.GroupType:
		return validateGroup(subject.Name)
	default:
		return fault.Invalid("subject: must be a user or a group")
	}
}

func validateRole(role string) error {
	if err := authz.ValidateRole(role); err != nil {
		return invalid("role", err)
	}
	return nil
}

func validatePermission(permission string) error {
	if err := authz.ValidatePermission(permission); err != nil {
		return invalid("permission", err)
	}
	return nil
}

func validateGrant(role, permission string) error {
	if err := validateRole(role); err != nil {
		return err
	}
	if err := authz.ValidateGrant(permission); err != nil {
		return invalid("permission", err)
	}
	return nil
}

// validateOwnRole accepts the roles that a tenant makes for itself.
func validateOwnRole(role string) error {
	if err := validateRole(role); err != nil {
		return err
	}
	if authz.IsBuiltin(role) {
		return fault.Conflict("role %q is built in", role)
	}
	return nil
}

// validateNode accepts the root, a scope or a resource.
func validateNode(node authz.Node) error {
	switch {
	case node == authz.Root:
		return nil
	case authz.IsScopeKind(node.Type):
		return validateScope(node)
	default:
		return validateResource(node)
	}
}

func validateScope(node authz.Node) error {
	if err := validateScopeKind(authz.Kind(node.Type)); err != nil {
		return err
	}
	if err := authz.ValidateID(node.ID); err != nil {
		return invalid("id", err)
	}
	return nil
}

func validateScopeKind(kind authz.Kind) error {
	if _, err := authz.ParentKind(kind); err != nil {
		return invalid("kind", err)
	}
	return nil
}

func validateResource(node authz.Node) error {
	if err := validateResourceType(node.Type); err != nil {
		return err
	}
	if err := authz.ValidateID(node.ID); err != nil {
		return invalid("id", err)
	}
	return nil
}

func validateResourceType(resourceType string) error {
	if authz.IsScopeKind(resourceType) {
		return fault.Invalid("type: %q names scopes, not resources", resourceType)
	}
	if err := authz.ValidateID(resourceType); err != nil {
		return invalid("type", err)
	}
	return nil
}

// maxProperties is the longest that properties may be as JSON, in bytes.
const maxProperties = 16 << 10

// validateProperties accepts what JSON can carry within maxProperties. Nothing is
// escaped that JSON does not ask for, so that the limit is on what was sent.
func validateProperties(properties map[string]any) error {
	if err := authz.ValidateProperties(properties); err != nil {
		return fault.Invalid("properties.%v", err)
	}
	var encoded bytes.Buffer
	encoder := json.NewEncoder(&encoded)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(properties); err != nil {
		return invalid("properties", err)
	}
	if encoded.Len()-len("\n") > maxProperties {
		return fault.Invalid("properties: must be at most %d bytes of JSON", maxProperties)
	}
	return nil
}

// validateSent accepts the properties and the context that a request brings.
func validateSent(request authz.Request) error {
	sent := []struct {
		field  string
		values map[string]any
	}{
		{"user_properties", request.UserProperties}, {"action_properties", request.ActionProperties}, {"context", request.Context},
	}
	for _, part := range sent {
		if err := authz.ValidateProperties(part.values); err != nil {
			return fault.Invalid("%s.%v", part.field, err)
		}
	}
	if request.Resource == nil {
		return nil
	}
	if err := authz.ValidateProperties(request.Resource.Properties); err != nil {
		return fault.Invalid("resource.properties.%v", err)
	}
	return nil
}

// validateText accepts what is kept for people to read: UTF-8 without U+0000,
// which PostgreSQL cannot hold, of at most the given number of characters.
func validateText(field, text string, most int) error {
	switch {
	case !utf8.ValidString(text):
		return fault.Invalid("%s: must be valid UTF-8", field)
	case strings.ContainsRune(text, 0):
		return fault.Invalid("%s: must not hold U+0000", field)
	case utf8.RuneCountInString(text) > most:
		return fault.Invalid("%s: must be at most %d characters long", field, most)
	}
	return nil
}

// validWindow returns a window as it is kept: in UTC and microseconds, within the
// years that RFC 3339 can write.
func validWindow(window authz.Window) (authz.Window, error) {
	for _, bound := range []struct {
		name string
		at   *time.Time
	}{{"not_before", &window.NotBefore}, {"expires_at", &window.ExpiresAt}} {
		if bound.at.IsZero() {
			continue
		}
		*bound.at = bound.at.UTC().Truncate(time.Microsecond)
		if year := bound.at.Year(); year < 1 || year > 9999 {
			return authz.Window{}, fault.Invalid("%s: must be from the year 1 to 9999 in UTC", bound.name)
		}
		if bound.at.IsZero() { // a bound would become none
			return authz.Window{}, fault.Invalid("%s: must not be within the first microsecond of the year 1", bound.name)
		}
	}
	if !window.NotBefore.IsZero() && !window.ExpiresAt.IsZero() && !window.ExpiresAt.After(window.NotBefore) {
		return authz.Window{}, fault.Invalid("expires_at: must be later than not_before")
	}
	return window, nil
}
