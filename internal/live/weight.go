package live

import (
	"math"

	"github.com/maypok86/otter/v2"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/internal/store"
)

// The weights are about the bytes that an entry takes, with what the cache itself needs
// for it. A test holds them to the heap.

func weighSubject(key subjectKey, subject *authz.Subject) uint32 {
	const entry = 200
	return weight(entry + len(key.user) + subject.Weight() + store.WeighProperties(subject.Properties))
}

func weighNode(key nodeKey, record *store.NodeRecord) uint32 {
	const entry, stored = 200, 150
	bytes := entry + len(key.node.Type) + len(key.node.ID)
	if record != nil {
		bytes += stored + len(record.Name) + len(record.Owner) + store.WeighProperties(record.Properties)
	}
	return weight(bytes)
}

// tenantWeigher weighs tenants so that no more than most fit into a share of memory. None
// weighs more than half of it: else a policy that is larger would be read again for every
// question.
func tenantWeigher(share uint64, most int) func(string, *tenant) uint32 {
	least := share / uint64(most)
	return func(_ string, t *tenant) uint32 {
		return weight(int(max(least, min(uint64(t.bytes.Load()), share/2))))
	}
}

// weigh tells the cache how much memory the tenant takes now. t.mu is held.
func (t *tenant) weigh() {
	const entry, role = 1200, 60
	bytes := entry + len(t.id) + t.touchedBytes + role*len(t.roles)
	if policy := t.former.Load(); policy != nil { // it is the present one, or is kept until that is read
		bytes += policy.Weight()
	}
	t.bytes.Store(int64(bytes))
	t.live.tenants.ComputeIfPresent(t.id, func(kept *tenant) (*tenant, otter.ComputeOp) {
		if kept != t {
			return kept, otter.CancelOp
		}
		return t, otter.WriteOp
	})
}

// weighTouched is about the bytes of one entry of touched.
func weighTouched(what any) int {
	const entry, node = 60, 32
	switch what := what.(type) {
	case string:
		return entry + len(what)
	case authz.Node:
		return entry + node + len(what.Type) + len(what.ID)
	default:
		return entry
	}
}

func weight(bytes int) uint32 { return uint32(min(bytes, math.MaxInt32)) }
