package seedtest

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"

	"github.com/google/uuid"
)

// World is the content of a database, as auth's own queries see it.
type World struct {
	Roles       []Role
	Permissions []Linked
	Users       []Linked
}

// Role is a row of auth_group.
type Role struct {
	ID                         int
	Creator, Name, Description string
	Active                     bool
}

// Linked is a row of auth_permission or auth_membership, with its roles' IDs.
type Linked struct {
	ID            int
	Creator, Name string
	Active        bool
	Roles         []int
}

// Random makes a world of a few tenants in which about one row in five is not active.
func Random(random *rand.Rand) World {
	var w World
	active := func() bool { return random.IntN(5) > 0 }
	for range 3 {
		creator := newKey(random)
		firstRole := len(w.Roles)
		for n := range 4 {
			w.Roles = append(w.Roles, Role{
				ID: len(w.Roles) + 1, Creator: creator, Name: fmt.Sprintf("role-%d", n), Description: fmt.Sprintf("What role %d may do", n), Active: active(),
			})
		}
		link := func() (ids []int) {
			for _, role := range w.Roles[firstRole:] {
				if random.IntN(3) == 0 {
					ids = append(ids, role.ID)
				}
			}
			return ids
		}
		for n := range 6 {
			w.Permissions = append(w.Permissions, Linked{len(w.Permissions) + 1, creator, fmt.Sprintf("do_%d", n), active(), link()})
			w.Users = append(w.Users, Linked{len(w.Users) + 1, creator, fmt.Sprintf("user+%d@example.com", n), active(), link()})
		}
	}
	return w
}

func newKey(random *rand.Rand) string {
	var b [16]byte
	for i := range b {
		b[i] = byte(random.Uint32())
	}
	return uuid.Must(uuid.NewRandomFromReader(bytes.NewReader(b[:]))).String()
}

// Write puts the world into a database. sealer says how each value is kept.
func (w World) Write(d *Database, sealer Sealer) {
	for _, r := range w.Roles {
		d.Role(r.ID, r.Creator, r.Name, sealer(r.Creator, r.Description), r.Active)
	}
	for _, p := range w.Permissions {
		d.Permission(p.ID, p.Creator, sealer(p.Creator, p.Name), p.Active, p.Roles...)
	}
	for _, u := range w.Users {
		d.User(u.ID, u.Creator, sealer(u.Creator, u.Name), u.Active, u.Roles...)
	}
}

// Creators are the client keys, sorted.
func (w World) Creators() []string {
	creators := map[string]bool{}
	for _, r := range w.Roles {
		creators[r.Creator] = true
	}
	return slices.Sorted(maps.Keys(creators))
}

// Described are a creator's roles, each with its description.
func (w World) Described(creator string) map[string]string {
	described := map[string]string{}
	for _, r := range w.Roles {
		if r.Creator == creator && r.Active {
			described[r.Name] = r.Description
		}
	}
	return described
}

// RolesOf are those of a creator's users or permissions of a name, sorted.
func (w World) RolesOf(creator, name string, rows []Linked) []string {
	roles := map[string]bool{}
	for _, row := range rows {
		if row.Creator != creator || row.Name != name || !row.Active {
			continue
		}
		for _, r := range w.Roles {
			if r.Active && slices.Contains(row.Roles, r.ID) {
				roles[r.Name] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(roles))
}
