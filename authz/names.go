package authz

import (
	"errors"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The built-in roles: every user holds Everyone at the tenant's root, and the
// owner of a resource holds Owner there. They can be granted permissions, but
// neither created, deleted nor given to anybody.
const (
	Owner    = "@owner"
	Everyone = "@everyone"
)

// The longest names, in bytes.
const (
	MaxRoleName       = 64
	MaxPermissionName = 128
	MaxID             = 256
)

// Wildcard is the grant of every permission.
const Wildcard = "*"

// wildcardSuffix ends a grant of every permission that begins with what stands
// before the asterisk.
const wildcardSuffix = ":*"

var (
	errRoleName       = errors.New("must be 1 to 64 of A-Z a-z 0-9 _ . -")
	errPermissionName = errors.New("must be 1 to 128 of A-Z a-z 0-9 _ . : / -")
	errWildcard       = errors.New("a wildcard can be granted but not asked for")
	errPathSyntax     = errors.New(`must not be ".", ".." or "/"`)
)

// IsBuiltin reports whether role is a built-in role.
func IsBuiltin(role string) bool { return role == Owner || role == Everyone }

// ValidateRole accepts a role's name: 1 to 64 of A-Z a-z 0-9 _ . -, but not "." or
// "..", or a built-in.
func ValidateRole(name string) error {
	if IsBuiltin(name) {
		return nil
	}
	if len(name) == 0 || len(name) > MaxRoleName {
		return errRoleName
	}
	if isPathSyntax(name) {
		return errPathSyntax
	}
	for i := range len(name) {
		if c := name[i]; !isAlphanumeric(c) && c != '_' && c != '.' && c != '-' {
			return errRoleName
		}
	}
	return nil
}

// ValidatePermission accepts a permission that can be asked for: 1 to 128 of
// A-Z a-z 0-9 _ . : / -, and so no wildcard, but not ".", ".." or "/".
func ValidatePermission(name string) error {
	if name == Wildcard || strings.HasSuffix(name, wildcardSuffix) {
		return errWildcard
	}
	if len(name) == 0 || len(name) > MaxPermissionName {
		return errPermissionName
	}
	if isPathSyntax(name) {
		return errPathSyntax
	}
	for i := range len(name) {
		switch c := name[i]; {
		case isAlphanumeric(c), c == '_', c == '.', c == ':', c == '/', c == '-':
		default:
			return errPermissionName
		}
	}
	return nil
}

// ValidateGrant accepts a permission that can be granted: one that can be asked
// for, a prefix of one followed by ":*", or "*".
func ValidateGrant(name string) error {
	if name == Wildcard {
		return nil
	}
	if len(name) > MaxPermissionName {
		return errPermissionName
	}
	err := ValidatePermission(strings.TrimSuffix(name, wildcardSuffix))
	if errors.Is(err, errWildcard) {
		return errPermissionName
	}
	return err
}

// ValidateID accepts the name of a user, group, scope or resource: 1 to 256 bytes
// of valid UTF-8 with no control character (Unicode Cc), no leading or trailing
// space, and not ".", ".." or "/".
func ValidateID(id string) error {
	switch {
	case len(id) == 0 || len(id) > MaxID:
		return errors.New("must be 1 to 256 bytes long")
	case !utf8.ValidString(id):
		return errors.New("must be valid UTF-8")
	case id[0] == ' ' || id[len(id)-1] == ' ':
		return errors.New("must not begin or end with a space")
	case isPathSyntax(id):
		return errPathSyntax
	case strings.ContainsFunc(id, unicode.IsControl):
		return errors.New("must not hold a control character")
	}
	return nil
}

// isPathSyntax tells the names that no path of a URL can carry as a segment.
func isPathSyntax(name string) bool { return name == "." || name == ".." || name == "/" }

func isAlphanumeric(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}
