package engine_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/engine"
)

func TestRoleInheritsFromAHundredRoles(t *testing.T) {
	t.Parallel()
	const most, chain = 100, 101
	name := func(n int) string { return fmt.Sprint("role-", n) }
	onBoth(t, func(t *testing.T, _ *engine.Engine, tenant *engine.Tenant) {
		put := func(role string, inherits ...string) error {
			_, err := tenant.PutRole(t.Context(), authz.RoleDetail{Name: role, Inherits: inherits})
			return err
		}
		inRuns(t, tenant, chain, func(x *engine.Tenant, n int) error {
			_, err := x.PutRole(t.Context(), authz.RoleDetail{Name: name(n)})
			return err
		})
		inRuns(t, tenant, chain-1, func(x *engine.Tenant, n int) error {
			_, err := x.PutRole(t.Context(), authz.RoleDetail{Name: name(n), Inherits: []string{name(n + 1)}})
			return err
		})
		inRuns(t, tenant, chain, func(x *engine.Tenant, n int) error {
			role := authz.RoleDetail{Name: fmt.Sprint("other-", n)}
			if n > 0 {
				role.Inherits = []string{fmt.Sprint("other-", n-1)}
			}
			_, err := x.PutRole(t.Context(), role)
			return err
		})
		var wide []string
		for n := range most + 1 {
			wide = append(wide, name(chain-1-n))
		}
		for what, refused := range map[string]struct {
			err  error
			says string
		}{
			"one too far":         {put("heir", name(0)), "more than 100 roles"},
			"far too far":         {put("heir", name(0), "other-100"), "more than 100 roles"},
			"too far for an heir": {put(name(chain-1), "other-0"), `role "role-0", which inherits from "role-100", would inherit from more than 100 roles`},
			"one too many":        {put("heir", wide...), "more than 100 roles"},
			"unknown":             {put("heir", "nobody", name(chain-1)), `"nobody" does not exist`},
			"a circle":            {put(name(chain-1), name(chain-most)), "inheritance would go in a circle: " + name(chain-1) + " -> " + name(chain-most)},
			"itself":              {put("role-0", "role-0"), "inheritance would go in a circle: role-0 -> role-0"},
			"a circle of unknown": {put("heir", "heir"), "inheritance would go in a circle: heir -> heir"},
		} {
			if !errors.Is(refused.err, engine.ErrConflict) || !strings.Contains(refused.err.Error(), refused.says) {
				t.Errorf("%s: got error %v, want %v that says %q", what, refused.err, engine.ErrConflict, refused.says)
			}
		}
		for what, err := range map[string]error{
			"as far as allowed":  put("far", name(chain-most)),
			"as many as allowed": put("wide", wide[:most]...),
			"none":               put("none"),
		} {
			if err != nil {
				t.Errorf("%s: got error %v, want none", what, err)
			}
		}
	})
}
