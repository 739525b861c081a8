package main

import (
	"context"
	"fmt"
	"time"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/engine"
)

// encryption measures what sealing the database costs: checks that are answered from
// memory, first checks of users, and acknowledged writes.
func encryption(ctx context.Context, o options, d *databases) error {
	for _, kind := range kinds {
		title("Encryption at rest on " + kind)
		var contenders []contender
		for _, c := range []struct {
			name, base string
			config     engine.EncryptionConfig
		}{
			{"plain", "", engine.EncryptionConfig{}},
			{"sealed", "plain", engine.EncryptionConfig{Enabled: true, Secret: "a secret of the benchmark's own"}},
		} {
			g, err := d.open(ctx, kind, "encryption-"+c.name, func(config *engine.Config) {
				config.Encryption = c.config
			})
			if err != nil {
				return err
			}
			measured, err := g.sealingCosts(ctx, o)
			if err != nil {
				return err
			}
			for _, m := range measured {
				if c.base != "" {
					m.base = c.base + m.name
				}
				m.name = c.name + m.name
				contenders = append(contenders, m)
			}
		}
		if err := compare(ctx, o, "", contenders); err != nil {
			return err
		}
	}
	return nil
}

// sealingCosts are the contenders on one database, without their names' first part.
func (g *gatehouse) sealingCosts(ctx context.Context, o options) ([]contender, error) {
	requests, err := fillForChecks(ctx, g)
	if err != nil {
		return nil, err
	}
	w := &writing{gatehouse: g}
	for n := range manyWriters {
		tenant := g.engine.Tenant(fmt.Sprintf("writes-%d", n))
		if _, err := tenant.AddRole(ctx, "editor", authz.RoleOptions{}); err != nil {
			return nil, err
		}
		w.tenants = append(w.tenants, tenant)
	}
	first := func(ctx context.Context, duration time.Duration) (sample, error) {
		return hammer(ctx, duration, []func() error{func() error {
			_, err := w.tenants[0].Check(ctx, authz.Request{User: w.user(), Permission: "edit"})
			return err
		}})
	}
	return []contender{
		{name: ", checks from memory over HTTP", measure: asking(g.address, o.connections, allowed, inTurn(requests))},
		{name: ", first checks of users in the engine", measure: first},
		{name: ", writes, 1 writer", measure: w.engine(1, 1)},
		{name: fmt.Sprintf(", writes, %d writers", manyWriters), measure: w.engine(manyWriters, manyWriters)},
	}, nil
}
