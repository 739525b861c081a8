//go:build unix

package sqlstore_test

import (
	"context"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/internal/audit"
	"github.com/gatehouse/gatehouse/internal/fault"
	"github.com/gatehouse/gatehouse/internal/pgtest"
	"github.com/gatehouse/gatehouse/internal/store"
	"github.com/gatehouse/gatehouse/internal/store/sqlstore"
)

// replicated is a database with a replica, and a store on both.
type replicated struct {
	*testing.T
	primary, standby *pgtest.Node
	database         string
	*sqlstore.Store
}

func openReplicated(t *testing.T, encryption sqlstore.Encryption) replicated {
	t.Helper()
	primary, standby := pgtest.Pair(t)
	database, err := primary.CreateDatabase(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	r := replicated{T: t, primary: primary, standby: standby, database: database}
	r.Store = r.open(primary.URL(database), encryption, standby.URL(database))
	r.write("tenant", "first")
	r.catchUp()
	return r
}

func (r replicated) open(url string, encryption sqlstore.Encryption, replicas ...string) *sqlstore.Store {
	r.Helper()
	return open(r.T, sqlstore.Config{
		URL: url, AutoMigrate: true, Encryption: encryption, Replicas: replicas, Logger: slog.New(slog.DiscardHandler),
	})
}

func (r replicated) must(err error) {
	r.Helper()
	if err != nil {
		r.Fatal(err)
	}
}

func (r replicated) write(tenant, role string) {
	r.Helper()
	_, err := r.Update(r.Context(), tenant, func(tx store.Tx) error {
		if _, err := tx.CreateRole(r.Context(), authz.Role{Name: role}); err != nil {
			return err
		}
		return tx.AppendChange(r.Context(), store.KindRole, role)
	})
	r.must(err)
}

// catchUp waits until the replica has everything, and is known to.
func (r replicated) catchUp() {
	r.Helper()
	r.must(r.standby.CatchUp(r.Context()))
	r.must(r.ProbeReplicas(r.Context()))
}

// expect lists the tenant's roles, and looks at who answered.
func (r replicated) expect(s *sqlstore.Store, tenant string, wanted store.Wanted, roles string, by sqlstore.ReplicaReads) {
	r.Helper()
	before := s.ReplicaReads()
	var got []string
	r.must(s.ViewAnywhere(r.Context(), tenant, wanted, func(reader store.Reader) error {
		got = nil
		list, err := reader.Roles(r.Context(), "", 10)
		for _, role := range list {
			got = append(got, role.Name)
		}
		return err
	}))
	after := s.ReplicaReads()
	if strings.Join(got, " ") != roles {
		r.Errorf("got the roles %q, want %q", got, roles)
	}
	now := sqlstore.ReplicaReads{Answered: after.Answered - before.Answered, Behind: after.Behind - before.Behind, Failed: after.Failed - before.Failed}
	if now != by {
		r.Errorf("answered by %+v, want %+v", now, by)
	}
}

var (
	byReplica = sqlstore.ReplicaReads{Answered: 1}
	isBehind  = sqlstore.ReplicaReads{Behind: 1}
	hasFailed = sqlstore.ReplicaReads{Failed: 1}
)

func TestReplicaAnswersWhereItHasWhatIsWanted(t *testing.T) {
	t.Parallel()
	r := openReplicated(t, sqlstore.Encryption{})
	r.expect(r.Store, "tenant", store.WantRevision, "first", byReplica)
	r.expect(r.Store, "tenant", store.WantAll, "first", byReplica)
	r.expect(r.Store, "unknown", store.WantRevision, "", byReplica)

	r.must(r.standby.PauseReplay(t.Context()))
	r.write("tenant", "second")
	r.expect(r.Store, "tenant", store.WantRevision, "first second", isBehind)
	r.expect(r.Store, "unknown", store.WantRevision, "", byReplica)
	r.expect(r.Store, "unknown", store.WantAll, "", isBehind)

	r.must(r.standby.ResumeReplay(t.Context()))
	r.catchUp()
	r.expect(r.Store, "tenant", store.WantRevision, "first second", byReplica)
}

func TestReplicaThatLacksARefusalIsBehind(t *testing.T) {
	t.Parallel()
	r := openReplicated(t, sqlstore.Encryption{})
	r.must(r.standby.PauseReplay(t.Context()))
	r.must(r.AppendEvent(t.Context(), "tenant", audit.Event{Action: "REFUSED", Actor: audit.System, Outcome: audit.Refused}))
	var got []audit.Event
	r.must(r.ViewAnywhere(t.Context(), "tenant", store.WantAll, func(reader store.Reader) (err error) {
		got, err = reader.AuditEvents(t.Context(), audit.Filter{}, "", 10)
		return err
	}))
	if len(got) != 1 || got[0].Action != "REFUSED" {
		t.Errorf("got the events %+v, want the refusal", got)
	}
	if got := r.ReplicaReads(); got != isBehind {
		t.Errorf("answered by %+v, want %+v", got, isBehind)
	}
}

func TestReplicaGivesAnswersThatAreErrors(t *testing.T) {
	t.Parallel()
	r := openReplicated(t, sqlstore.Encryption{})
	err := r.ViewAnywhere(t.Context(), "tenant", store.WantRevision, func(store.Reader) error { return fault.NotFound("no such thing") })
	if fault.CodeOf(err) != fault.CodeNotFound {
		t.Errorf("got error %v, want what the function returned", err)
	}
	if got := r.ReplicaReads(); got != byReplica {
		t.Errorf("answered by %+v, want %+v", got, byReplica)
	}
}

func TestPrimaryAnswersWhileTheReplicaIsAway(t *testing.T) {
	t.Parallel()
	r := openReplicated(t, sqlstore.Encryption{})
	r.standby.Kill()
	r.expect(r.Store, "tenant", store.WantRevision, "first", hasFailed)
	r.expect(r.Store, "tenant", store.WantAll, "first", hasFailed)
	began := r.open(r.primary.URL(r.database), sqlstore.Encryption{}, r.standby.URL(r.database))
	r.expect(began, "tenant", store.WantRevision, "first", hasFailed)

	r.must(r.standby.Start(t.Context()))
	_ = r.ProbeReplicas(t.Context()) // over a connection that the crash has ended, perhaps
	r.catchUp()
	r.expect(r.Store, "tenant", store.WantRevision, "first", byReplica)
	r.must(began.ProbeReplicas(t.Context()))
	r.expect(began, "tenant", store.WantRevision, "first", byReplica)
}

func TestPromotedReplica(t *testing.T) {
	t.Parallel()
	r := openReplicated(t, sqlstore.Encryption{})
	r.must(r.standby.Promote(t.Context()))
	if err := r.ProbeReplicas(t.Context()); err == nil {
		t.Error("a replica that was promoted beside the primary is of use")
	}
	r.expect(r.Store, "tenant", store.WantRevision, "first", hasFailed)

	// As it is after a failover: the replica has become the primary, and is in both places.
	url := r.standby.URL(r.database)
	promoted := r.open(url, sqlstore.Encryption{}, url)
	r.must(promoted.ProbeReplicas(t.Context()))
	r.expect(promoted, "tenant", store.WantAll, "first", byReplica)
}

func TestStandbyIsNotTakenForThePrimary(t *testing.T) {
	t.Parallel()
	r := openReplicated(t, sqlstore.Encryption{})
	standby := r.standby.URL(r.database)
	s, err := sqlstore.Open(t.Context(), sqlstore.Config{URL: standby})
	if fault.CodeOf(err) != fault.CodeUnavailable {
		t.Errorf("of a standby alone: got %v, want that the database does not answer", err)
	}
	if err == nil {
		r.must(s.Close())
	}
	both := strings.Replace(standby, r.standby.Address(), r.standby.Address()+","+r.primary.Address(), 1)
	r.must(r.standby.PauseReplay(t.Context()))
	r.write("tenant", "second")
	r.expect(r.open(both, sqlstore.Encryption{}), "tenant", store.WantAll, "first second", sqlstore.ReplicaReads{})
}

func TestServerOfAnotherDatabaseDoesNotAnswer(t *testing.T) {
	t.Parallel()
	r := openReplicated(t, sqlstore.Encryption{})
	other, err := r.primary.CreateDatabase(t.Context())
	r.must(err)
	// It has what a replica would have, and more.
	_ = r.open(r.primary.URL(other), sqlstore.Encryption{})
	cluster, err := pgtest.StartPrimary(t.Context(), pgtest.NodeConfig{})
	r.must(err)
	t.Cleanup(func() { r.must(cluster.Remove()) })
	elsewhere, err := cluster.CreateDatabase(t.Context())
	r.must(err)
	_ = r.open(cluster.URL(elsewhere), sqlstore.Encryption{})
	r.must(r.standby.CatchUp(t.Context()))
	for name, url := range map[string]string{
		"another cluster":                        cluster.URL(elsewhere),
		"another database":                       r.primary.URL(other),
		"another database of the standby":        r.standby.URL(other),
		"a database that is not there":           r.standby.URL("nothing"),
		"a database of the cluster with nothing": r.standby.URL("postgres"),
	} {
		t.Run(name, func(t *testing.T) {
			r := r
			r.T = t
			s := r.open(r.primary.URL(r.database), sqlstore.Encryption{}, url)
			if err := s.ProbeReplicas(t.Context()); err == nil {
				t.Error("it is of use")
			}
			r.expect(s, "tenant", store.WantRevision, "first", hasFailed)
		})
	}
}

func TestReadsAreSpreadOverTheReplicasThatAreUp(t *testing.T) {
	t.Parallel()
	r := openReplicated(t, sqlstore.Encryption{})
	second, err := r.primary.StartStandby(t.Context(), pgtest.NodeConfig{})
	r.must(err)
	t.Cleanup(func() { r.must(second.Remove()) })
	s := r.open(r.primary.URL(r.database), sqlstore.Encryption{}, r.standby.URL(r.database), second.URL(r.database))
	r.must(r.standby.CatchUp(t.Context()))
	r.must(second.CatchUp(t.Context()))
	r.must(s.ProbeReplicas(t.Context()))
	r.must(second.PauseReplay(t.Context()))
	r.write("tenant", "second")
	r.must(r.standby.CatchUp(t.Context()))
	before := s.ReplicaReads()
	for range 4 {
		r.must(s.ViewAnywhere(t.Context(), "tenant", store.WantRevision, func(store.Reader) error { return nil }))
	}
	after := s.ReplicaReads()
	if answered, behind := after.Answered-before.Answered, after.Behind-before.Behind; answered != 2 || behind != 2 {
		t.Errorf("of four reads, %d found the replica that is up to date and %d the one that is behind, want two each", answered, behind)
	}
	second.Kill()
	_ = s.ProbeReplicas(t.Context())
	for range 3 {
		r.expect(s, "tenant", store.WantRevision, "first second", byReplica)
	}
}

func TestSealedReplica(t *testing.T) {
	t.Parallel()
	r := openReplicated(t, sealedWith(firstSecret))
	r.expect(r.Store, "tenant", store.WantRevision, "first", byReplica)

	// The key is changed, which raises no revision, and the replica knows nothing of it.
	r.must(r.standby.PauseReplay(t.Context()))
	url, replica := r.primary.URL(r.database), r.standby.URL(r.database)
	rotating := r.open(url, sealedWith(secondSecret, firstSecret), replica)
	_, err := rotating.RotateEncryption(t.Context(), func(int64, int64) {})
	r.must(err)
	r.must(rotating.ProbeReplicas(t.Context()))
	r.expect(rotating, "tenant", store.WantRevision, "first", byReplica)
	fresh := r.open(url, sealedWith(secondSecret), replica)
	r.must(fresh.ProbeReplicas(t.Context()))
	r.expect(fresh, "tenant", store.WantRevision, "first", hasFailed)

	r.must(r.standby.ResumeReplay(t.Context()))
	r.must(r.standby.CatchUp(t.Context()))
	r.must(fresh.ProbeReplicas(t.Context()))
	r.expect(fresh, "tenant", store.WantRevision, "first", byReplica)
}

// TestReplicaNeverShowsSealedValuesAsPlainOnes has a process without secrets read from a
// replica that comes to know of sealed values at one blow, long after the primary.
func TestReplicaNeverShowsSealedValuesAsPlainOnes(t *testing.T) {
	t.Parallel()
	r := openReplicated(t, sqlstore.Encryption{})
	r.expect(r.Store, "tenant", store.WantRevision, "first", byReplica)
	r.must(r.standby.PauseReplay(t.Context()))
	sealing := openUnfit(t, r.primary.URL(r.database), sealedWith(firstSecret))
	_, err := sealing.EnableEncryption(t.Context(), func(int64, int64) {})
	r.must(err)
	r.expect(r.Store, "tenant", store.WantRevision, "first", byReplica)
	r.must(r.standby.ResumeReplay(t.Context()))
	r.catchUp()
	err = r.ViewAnywhere(t.Context(), "tenant", store.WantRevision, func(reader store.Reader) error {
		roles, err := reader.Roles(t.Context(), "", 10)
		if err == nil && len(roles) > 0 && roles[0].Name != "first" {
			t.Errorf("got the role %q", roles[0].Name)
		}
		return err
	})
	if err == nil {
		t.Error("a process without secrets read a sealed database")
	}
}

func TestReadOfAReplicaThatFallsSilentGoesToThePrimary(t *testing.T) {
	t.Parallel()
	r := openReplicated(t, sqlstore.Encryption{})
	gate := openGate(t, r.standby.Address())
	url := strings.Replace(r.standby.URL(r.database), r.standby.Address(), gate.Addr().String(), 1)
	s := r.open(r.primary.URL(r.database), sqlstore.Encryption{}, url)
	r.must(s.ProbeReplicas(t.Context()))
	calls := 0
	r.must(s.ViewAnywhere(t.Context(), "tenant", store.WantRevision, func(reader store.Reader) error {
		calls++
		gate.shut()
		_, err := reader.Roles(t.Context(), "", 10)
		return err
	}))
	if calls != 2 {
		t.Errorf("it was read %d times, want twice", calls)
	}
	if got := s.ReplicaReads(); got != hasFailed {
		t.Errorf("answered by %+v, want %+v", got, hasFailed)
	}
}

// gate lets connections through to a server until it is shut: then nothing arrives any
// more, and nothing says so.
type gate struct {
	net.Listener
	closed chan struct{}
	once   sync.Once
}

func openGate(t *testing.T, to string) *gate {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := &gate{Listener: listener, closed: make(chan struct{})}
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	t.Cleanup(func() { stop(); _ = listener.Close(); running.Wait() })
	carry := func(to, from net.Conn) {
		running.Go(func() {
			buffer := make([]byte, 1<<12)
			for {
				n, err := from.Read(buffer)
				select {
				case <-g.closed:
					<-ctx.Done()
				default:
				}
				if _, failed := to.Write(buffer[:n]); err != nil || failed != nil {
					_ = to.Close()
					return
				}
			}
		})
	}
	running.Go(func() {
		for {
			near, err := listener.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", to)
			if err != nil {
				_ = near.Close()
				continue
			}
			context.AfterFunc(ctx, func() { _, _ = near.Close(), far.Close() })
			carry(far, near)
			carry(near, far)
		}
	})
	return g
}

func (g *gate) shut() { g.once.Do(func() { close(g.closed) }) }
