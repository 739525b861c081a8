package sqlstore

import (
	"context"
	"crypto/rand"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/gatehouse/gatehouse/gen/postgres"
)

const (
	// channel is where processes tell each other that something has changed.
	channel = "gatehouse_changes"

	// notifyGap is the least time between two notifications of one process, so that
	// a burst of writes does not become a burst of polls everywhere.
	notifyGap     = 10 * time.Millisecond
	notifyTimeout = 5 * time.Second

	// signOfLife is how long a connection may be silent before it is asked whether
	// the server is still there.
	signOfLife    = 30 * time.Second
	listenTimeout = 5 * time.Second

	firstReconnect = 100 * time.Millisecond
	maxReconnect   = 10 * time.Second
)

// Watch implements store.Store. On PostgreSQL it listens on a connection of its
// own, outside the pool; a SQLite file tells nobody that it has changed.
func (s *Store) Watch(ctx context.Context, changed func()) error { return s.db.watch(ctx, changed) }

func (db *sqliteDB) watch(ctx context.Context, _ func()) error {
	<-ctx.Done()
	return ctx.Err()
}

func (db *postgresDB) watch(ctx context.Context, changed func()) error {
	for longest := firstReconnect; ; longest = min(2*longest, maxReconnect) {
		if db.listen(ctx, changed) {
			longest = firstReconnect
		}
		if err := pauseAtMost(ctx, longest); err != nil {
			return err
		}
	}
}

// listen calls changed once it listens, for whatever it has missed, and then for
// each notification of another process, until the connection is lost or ctx ends.
// It reports whether it got to listen. Why it ended is of no interest: without it
// the poll finds the same changes, and says so where the database is away.
func (db *postgresDB) listen(ctx context.Context, changed func()) bool {
	config := db.listening.Copy()
	db.listeningHosts.order(config)
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return false
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = conn.Close(ctx)
	}()
	if !answers(ctx, conn, "LISTEN "+channel) {
		return false
	}
	changed()
	for {
		waiting, cancel := context.WithTimeout(ctx, signOfLife)
		notification, err := conn.WaitForNotification(waiting)
		silent := waiting.Err() != nil && ctx.Err() == nil
		cancel()
		switch {
		case err == nil && notification.Payload != db.notifier.id:
			changed()
		case err == nil:
		case !silent || !answers(ctx, conn, "SELECT 1"):
			return true
		}
	}
}

func answers(ctx context.Context, conn *pgx.Conn, statement string) bool {
	ctx, cancel := context.WithTimeout(ctx, listenTimeout)
	defer cancel()
	_, err := conn.Exec(ctx, statement)
	return err == nil
}

// notifier tells other processes in the background that this one has committed
// something: at most one notification is on its way, and what is committed meanwhile
// shares the next. One that is lost costs the others a poll's time and no more.
type notifier struct {
	db postgres.DBTX
	// id marks the notifications of this process, which needs none of its own. They
	// hold nothing else.
	id      string
	pending chan struct{}
	stop    context.CancelFunc
	done    sync.WaitGroup
}

func startNotifier(db postgres.DBTX) *notifier {
	ctx, stop := context.WithCancel(context.Background())
	n := &notifier{db: db, id: rand.Text(), pending: make(chan struct{}, 1), stop: stop}
	n.done.Go(func() { n.run(ctx) })
	return n
}

// committed has the others told. It never blocks.
func (n *notifier) committed() {
	select {
	case n.pending <- struct{}{}:
	default:
	}
}

func (n *notifier) run(ctx context.Context) {
	gap := time.NewTimer(0)
	defer gap.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-gap.C:
		}
		select {
		case <-ctx.Done():
			return
		case <-n.pending:
		}
		n.notify(ctx)
		gap.Reset(notifyGap)
	}
}

// notify does not wait for the disk, as a commit of NOTIFY would: a notification
// that a crash takes along is one that nobody waits for. SET LOCAL holds for the
// transaction that the two statements share.
func (n *notifier) notify(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, notifyTimeout)
	defer cancel()
	_, _ = n.db.Exec(ctx, "SET LOCAL synchronous_commit = off; NOTIFY "+channel+", '"+n.id+"'")
}

// close ends the notifier and waits for it. Notifications that are not on their
// way are dropped.
func (n *notifier) close() {
	n.stop()
	n.done.Wait()
}
