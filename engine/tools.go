package engine

import (
	"context"
	"fmt"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/internal/audit"
	"github.com/gatehouse/gatehouse/internal/fault"
	"github.com/gatehouse/gatehouse/internal/store"
)

// maxToolPermissions is how many permissions a tool may define.
const maxToolPermissions = 1000

// PutTool creates or replaces a tool: what it does not define any more, no tool
// does. It defines at most 1,000 permissions, each once and none with a wildcard;
// one that another tool defines is ErrConflict. What is granted stays granted.
func (t *Tenant) PutTool(ctx context.Context, tool authz.Tool) (authz.Written, error) {
	if err := validateNewTool(tool); err != nil {
		return authz.Written{}, err
	}
	return t.mutate(ctx, func(tx store.Tx) ([]effect, error) {
		before, existed, err := tx.Tool(ctx, tool.Name)
		if err != nil {
			return nil, err
		}
		if err := requireUndefined(ctx, tx, before, tool); err != nil {
			return nil, err
		}
		if changed, err := tx.SetTool(ctx, tool); err != nil || !changed {
			return nil, err
		}
		done := toolEffect(put(existed, audit.ToolCreated, audit.ToolUpdated), tool.Name)
		done.event.Details = map[string]any{"permissions": len(tool.Permissions)}
		return []effect{done}, nil
	})
}

// Tool reads a tool; its permissions are sorted by name.
func (t *Tenant) Tool(ctx context.Context, tool string) (authz.Snapshot[authz.Tool], error) {
	if err := validateTool(tool); err != nil {
		return authz.Snapshot[authz.Tool]{}, err
	}
	missing := fault.NotFound("tool %q does not exist", tool)
	return snapshot(ctx, t, missing, func(r store.Reader) (authz.Tool, bool, error) { return r.Tool(ctx, tool) })
}

// DeleteTool deletes a tool with its definitions; what is granted stays granted.
// Changed tells whether it was there.
func (t *Tenant) DeleteTool(ctx context.Context, tool string) (authz.Written, error) {
	if err := validateTool(tool); err != nil {
		return authz.Written{}, err
	}
	return t.mutate(ctx, func(tx store.Tx) ([]effect, error) {
		if deleted, err := tx.DeleteTool(ctx, tool); err != nil || !deleted {
			return nil, err
		}
		return []effect{toolEffect(audit.ToolDeleted, tool)}, nil
	})
}

// Tools lists the tools by name.
func (t *Tenant) Tools(ctx context.Context, page authz.Page) (authz.List[authz.Tool], error) {
	return list(ctx, t, page, question("tools"), lister[authz.Tool]{
		read: func(r store.Reader, after []string, limit int) ([]authz.Tool, error) {
			return r.Tools(ctx, after[0], limit)
		},
		position: func(tool authz.Tool) []string { return []string{tool.Name} },
	})
}

// Permissions lists the catalogue by name: every permission that a tool defines or
// a role is granted, a wildcard as its pattern.
func (t *Tenant) Permissions(ctx context.Context, page authz.Page) (authz.List[authz.CatalogueEntry], error) {
	return list(ctx, t, page, question("permissions"), lister[authz.CatalogueEntry]{
		read: func(r store.Reader, after []string, limit int) ([]authz.CatalogueEntry, error) {
			return r.Catalogue(ctx, after[0], limit)
		},
		position: func(entry authz.CatalogueEntry) []string { return []string{entry.Name} },
	})
}

func validateTool(tool string) error {
	if err := authz.ValidateID(tool); err != nil {
		return invalid("tool", err)
	}
	return nil
}

func validateNewTool(tool authz.Tool) error {
	if err := validateTool(tool.Name); err != nil {
		return err
	}
	if err := validateText("description", tool.Description, authz.MaxDescription); err != nil {
		return err
	}
	if len(tool.Permissions) > maxToolPermissions {
		return fault.Invalid("permissions: must be at most %d", maxToolPermissions)
	}
	seen := make(map[string]bool, len(tool.Permissions))
	for i, permission := range tool.Permissions {
		field := fmt.Sprintf("permissions.%d", i)
		if err := authz.ValidatePermission(permission.Name); err != nil {
			return invalid(field+".name", err)
		}
		if seen[permission.Name] {
			return fault.Invalid("%s.name: defines %q again", field, permission.Name)
		}
		seen[permission.Name] = true
		if err := validateText(field+".description", permission.Description, authz.MaxDescription); err != nil {
			return err
		}
	}
	return nil
}

// requireUndefined fails where another tool defines a permission of a tool's. It
// need not ask for those that the tool defined before.
func requireUndefined(ctx context.Context, tx store.Tx, before, tool authz.Tool) error {
	own := make(map[string]bool, len(before.Permissions))
	for _, permission := range before.Permissions {
		own[permission.Name] = true
	}
	for _, permission := range tool.Permissions {
		if own[permission.Name] {
			continue
		}
		other, defined, err := tx.DefiningTool(ctx, permission.Name)
		if err != nil {
			return err
		}
		if defined {
			return fault.Conflict("permission %q is defined by the tool %q", permission.Name, other)
		}
	}
	return nil
}

func toolEffect(action, tool string) effect {
	return effect{kind: store.KindTool, key: key(tool), event: audit.Event{Action: action}}
}
