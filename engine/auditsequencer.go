package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatehouse/gatehouse/internal/audit"
	"github.com/gatehouse/gatehouse/internal/signing"
	"github.com/gatehouse/gatehouse/internal/store"
)

const (
	// sequenceEvery is how often a server looks for events that have no place in a tree.
	sequenceEvery = 250 * time.Millisecond
	// sequenceBatch is how many events one transaction makes leaves of.
	sequenceBatch = 1000
	// signEvery is the least time between two checkpoints of a tenant.
	signEvery = time.Second
	// complainEvery is the least time between two warnings about the same work.
	complainEvery = time.Minute

	// auditLease is what a server holds while it sequences.
	auditLease = "audit"
	auditTerm  = 3 * time.Second

	// checkpointFileEvery is how often new checkpoints go to the file, and
	// checkpointFileBatch how many are written before they are taken down as filed.
	checkpointFileEvery = time.Minute
	checkpointFileBatch = 1000
	filedTimeout        = 5 * time.Second
	// finishTimeout bounds what is done after the end.
	finishTimeout = 2 * time.Second
)

// sequencer makes leaves of events, for all tenants, while it holds the lease.
type sequencer struct {
	store store.Store
	// now is the time that checkpoints go by.
	now   func(context.Context) (time.Time, error)
	lease *lease
	// file is where checkpoints are appended; empty for nowhere.
	file string

	// signedAt is when checkpoints were signed. One goroutine has it.
	signedAt time.Time

	// doneMicros and signedMicros are when all events were last known to be in the trees,
	// and all trees signed, since begun.
	begun                    time.Time
	doneMicros, signedMicros atomic.Int64
	sequenced                atomic.Uint64

	signerMu sync.Mutex
	signer   *audit.Signer // nil until it is needed
}

// run sequences until ctx ends.
func (s *sequencer) run(ctx context.Context, e *Engine) {
	looks, files := time.NewTicker(sequenceEvery), time.NewTicker(e.checkpointEvery)
	defer looks.Stop()
	defer files.Stop()
	var complained time.Time
	for {
		var err error
		select {
		case <-ctx.Done():
			s.finish(ctx)
			return
		case <-looks.C:
			err = bounded(ctx, s.look)
		case <-files.C:
			err = bounded(ctx, s.writeFile)
		}
		if err != nil && ctx.Err() == nil && time.Since(complained) > complainEvery {
			complained = time.Now()
			e.log.WarnContext(ctx, "could not keep the audit log's tree, and will try again", "error", err)
		}
	}
}

// look sequences what is pending, and signs what has grown.
func (s *sequencer) look(ctx context.Context) error {
	began := time.Now()
	pending, err := s.store.PendingAuditTenant(ctx, "")
	if err != nil {
		return err
	}
	unsigned, err := s.store.UnsignedAuditTenant(ctx, "")
	if err != nil {
		return err
	}
	if pending == "" && unsigned == "" {
		s.lease.lapse()
		s.note(&s.doneMicros, began)
		s.note(&s.signedMicros, began)
		return nil
	}
	held, err := s.lease.hold(ctx)
	if err != nil {
		return err
	}
	if !held { // another is at it
		s.note(&s.doneMicros, began)
		s.note(&s.signedMicros, began)
		return nil
	}
	err = s.sequenceAll(ctx, pending, func() (bool, error) { return s.lease.hold(ctx) })
	if err == nil {
		s.note(&s.doneMicros, began)
	}
	if time.Since(s.signedAt) < signEvery {
		return err
	}
	s.signedAt = time.Now()
	signErr := s.signAll(ctx)
	if signErr == nil {
		s.note(&s.signedMicros, began)
	}
	return errors.Join(err, signErr)
}

// note keeps a moment at which there was nothing left to do.
func (s *sequencer) note(at *atomic.Int64, moment time.Time) {
	at.Store(moment.Sub(s.begun).Microseconds())
}

func (s *sequencer) stats(events uint64) AuditStats {
	since := func(at *atomic.Int64) time.Duration {
		return time.Since(s.begun) - time.Duration(at.Load())*time.Microsecond
	}
	return AuditStats{
		Events: events, Sequenced: s.sequenced.Load(), Leading: s.lease.held.Load(),
		Unsequenced: since(&s.doneMicros), Unsigned: since(&s.signedMicros),
	}
}

// finish does what is left, writes the file and lets go of the lease, so that another
// server need not wait. Where that fails, another does it, or this one the next time.
func (s *sequencer) finish(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), finishTimeout)
	defer cancel()
	s.signedAt = time.Time{}
	if err := s.look(ctx); err == nil {
		_ = s.writeFile(ctx)
	}
	s.lease.end(ctx)
}

// sequenceAll sequences what is pending of a tenant and those behind it, for as long as
// goOn says so. What fails for one tenant does not keep the others waiting.
func (s *sequencer) sequenceAll(ctx context.Context, tenant string, goOn func() (bool, error)) error {
	var failures error
	for tenant != "" {
		for {
			n, err := s.store.SequenceEvents(ctx, tenant, sequenceBatch)
			failures = errors.Join(failures, err)
			s.sequenced.Add(uint64(n))
			if err != nil || n < sequenceBatch {
				break
			}
			if ok, err := goOn(); err != nil || !ok {
				return errors.Join(failures, err)
			}
		}
		var err error
		if tenant, err = s.store.PendingAuditTenant(ctx, tenant); err != nil {
			return errors.Join(failures, err)
		}
		if ok, err := goOn(); err != nil || !ok {
			return errors.Join(failures, err)
		}
	}
	return failures
}

// signAll signs a checkpoint of every tree that has grown.
func (s *sequencer) signAll(ctx context.Context) error {
	var failures error
	for tenant := ""; ; {
		var err error
		if tenant, err = s.store.UnsignedAuditTenant(ctx, tenant); err != nil || tenant == "" {
			return errors.Join(failures, err)
		}
		failures = errors.Join(failures, s.sign(ctx, tenant))
	}
}

// sign signs a checkpoint of a tenant's tree where there is a new one.
func (s *sequencer) sign(ctx context.Context, tenant string) error {
	signer, err := s.signingKey(ctx)
	if err != nil {
		return err
	}
	now, err := s.now(ctx)
	if err != nil {
		return err
	}
	return s.store.SignCheckpoint(ctx, tenant, now, signer)
}

// signingKey returns the key that signs checkpoints, and makes it where there is none.
func (s *sequencer) signingKey(ctx context.Context) (audit.Signer, error) {
	s.signerMu.Lock()
	defer s.signerMu.Unlock()
	if s.signer != nil {
		return *s.signer, nil
	}
	for range 2 {
		keys, err := s.store.SigningKeys(ctx, signing.UseAudit)
		if err != nil {
			return audit.Signer{}, err
		}
		if len(keys) > 0 {
			return s.load(keys[len(keys)-1])
		}
		now, err := s.now(ctx)
		if err != nil {
			return audit.Signer{}, err
		}
		record := store.SigningKey{Use: signing.UseAudit, Number: 1, Algorithm: signing.EdDSA, CreatedAt: now, SignsFrom: now}
		if record.ID, record.Material, err = signing.Generate(record.Algorithm); err != nil {
			return audit.Signer{}, err
		}
		// Where another process was first, its key is read.
		if _, err := s.store.CreateSigningKey(ctx, record); err != nil {
			return audit.Signer{}, err
		}
	}
	return audit.Signer{}, errors.New("the key of the audit log was made and is not there")
}

func (s *sequencer) load(record store.SigningKey) (audit.Signer, error) {
	key, err := signing.Load(record.ID, record.Algorithm, record.Material, record.SignsFrom)
	if err != nil {
		return audit.Signer{}, fmt.Errorf("the key of the audit log: %w", err)
	}
	private := key.Ed25519()
	if private == nil {
		return audit.Signer{}, fmt.Errorf("the key of the audit log is of %s", record.Algorithm)
	}
	signer := audit.NewSigner(private)
	s.signer = &signer
	return signer, nil
}

// filedCheckpoint is a line of the checkpoint file.
type filedCheckpoint struct {
	Time       time.Time `json:"time"`
	Tenant     string    `json:"tenant"`
	Size       int64     `json:"size"`
	Checkpoint string    `json:"checkpoint"`
}

// writeFile appends to the file the checkpoints that are not in it yet.
func (s *sequencer) writeFile(ctx context.Context) error {
	if s.file == "" {
		return nil
	}
	for after := ""; ; {
		list, err := s.store.UnfiledCheckpoints(ctx, after, checkpointFileBatch)
		if err != nil || len(list) == 0 {
			return err
		}
		if held, err := s.lease.hold(ctx); err != nil || !held {
			return err
		}
		if err := appendCheckpoints(s.file, list); err != nil {
			return err
		}
		if err := s.filed(ctx, list); err != nil {
			return err
		}
		after = list[len(list)-1].Tenant
	}
}

// filed takes down what is in the file, even where ctx ends now: else it would be there
// twice.
func (s *sequencer) filed(ctx context.Context, list []store.FiledCheckpoint) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), filedTimeout)
	defer cancel()
	for _, c := range list {
		if err := s.store.CheckpointFiled(ctx, c.Tenant, c.Size); err != nil {
			return err
		}
	}
	return nil
}

// appendCheckpoints returns when what it wrote is on the disk.
func appendCheckpoints(path string, list []store.FiledCheckpoint) error {
	var lines []byte
	for _, c := range list {
		line, err := json.Marshal(filedCheckpoint{Time: c.At, Tenant: c.Tenant, Size: c.Size, Checkpoint: c.Note})
		if err != nil {
			return fmt.Errorf("write the checkpoint file: %w", err)
		}
		lines = append(append(lines, line...), '\n')
	}
	file, err := openCheckpointFile(path)
	if err != nil {
		return err
	}
	if torn, err := isTorn(file); err == nil && torn {
		lines = append([]byte{'\n'}, lines...)
	}
	_, err = file.Write(lines)
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		return fmt.Errorf("write the checkpoint file: %w", err)
	}
	return nil
}

// checkCheckpointFile makes sure that the file can be written, and that nobody else can
// read one that is made.
func checkCheckpointFile(path string) error {
	if path == "" {
		return nil
	}
	file, err := openCheckpointFile(path)
	if err != nil {
		return err
	}
	return file.Close()
}

func openCheckpointFile(path string) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the checkpoint file: %w", err)
	}
	return file, nil
}

// isTorn tells whether the file's last line was torn by a crash.
func isTorn(file *os.File) (bool, error) {
	info, err := file.Stat()
	if err != nil || info.Size() == 0 {
		return false, err
	}
	last := make([]byte, 1)
	_, err = file.ReadAt(last, info.Size()-1)
	return last[0] != '\n', err
}
