package engine

import (
	"strings"
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

func validateWindow(window authz.Window) error {
	if !window.NotBefore.IsZero() && !window.ExpiresAt.IsZero() && !window.ExpiresAt.After(window.NotBefore) {
		return fault.Invalid("expires_at: must be later than not_before")
	}
	return nil
}
