package engine

import (
	"context"
	"errors"
	"math"
	"time"

	"github.com/google/uuid"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/internal/audit"
	"github.com/gatehouse/gatehouse/internal/fault"
	"github.com/gatehouse/gatehouse/internal/session"
	"github.com/gatehouse/gatehouse/internal/signing"
	"github.com/gatehouse/gatehouse/internal/store"
)

// maxSessionTries is how often a session is read and judged where others keep changing
// it in between. Of those who rotate one generation at once all but one need a second
// try, so this many fail by nothing but bad luck.
const maxSessionTries = 20

// CreateSession opens a session for a user who has just proved who they are, always
// a new one, and returns its first token. A user who is not active is ErrConflict.
// Beyond the maximum per user, the oldest sessions end.
func (t *Tenant) CreateSession(ctx context.Context, request authz.NewSession) (authz.IssuedSession, error) {
	if err := t.validateSessions(); err != nil {
		return authz.IssuedSession{}, err
	}
	if err := validateUser(request.User); err != nil {
		return authz.IssuedSession{}, err
	}
	if request.Binding == "" {
		request.Binding = t.engine.sessions.Binding
	}
	if err := validateBinding(request.Binding); err != nil {
		return authz.IssuedSession{}, err
	}
	client, err := clientFrom(request.IP, request.UserAgent)
	if err != nil {
		return authz.IssuedSession{}, err
	}
	request.IP, request.UserAgent = client.IP, client.UserAgent
	keys, err := t.engine.signingKeys(ctx, t.engine.signing)
	if err != nil {
		return authz.IssuedSession{}, err
	}
	if err := t.keepTenant(ctx); err != nil {
		return authz.IssuedSession{}, err
	}
	now, err := t.sessionNow(ctx)
	if err != nil {
		return authz.IssuedSession{}, err
	}
	id := uuid.NewString()
	var row session.Row
	var token string
	err = t.updateSessions(ctx, func(tx store.SessionTx) error {
		owner, err := tx.LockUser(ctx, request.User)
		if err != nil {
			return err
		}
		if owner.Inactive {
			return fault.Conflict("user %q is not active", request.User)
		}
		if err := t.makeRoom(ctx, tx, request.User, now); err != nil {
			return err
		}
		row = session.New(id, request, owner.Epoch, t.engine.sessions.rules(), now)
		// Before anything is kept, for an issuer and names can be too long for a token: that
		// of the last generation there can be, so that none on the way is.
		last := row
		last.Generation = math.MaxInt64
		if _, err = t.signSession(keys, last, now); err != nil {
			return err
		}
		if token, err = t.signSession(keys, row, now); err != nil {
			return err
		}
		if err := tx.CreateSession(ctx, row); err != nil {
			return err
		}
		return t.appendSessionEvent(ctx, tx, sessionEvent(audit.SessionCreated, audit.Success, row, creationDetails(row)))
	})
	if err != nil {
		return authz.IssuedSession{}, err
	}
	t.engine.counts.sessions.Add(1)
	return authz.IssuedSession{Session: row.Session(), Token: token}, nil
}

// makeRoom ends a user's oldest sessions, so that one more keeps to the maximum.
func (t *Tenant) makeRoom(ctx context.Context, tx store.SessionTx, user string, now time.Time) error {
	most := t.engine.sessions.MaxPerUser
	if most == 0 {
		return nil
	}
	ended, err := tx.EndOldest(ctx, user, most-1, now, authz.EndMaximum)
	if err != nil {
		return err
	}
	return t.appendEnds(ctx, tx, ended, authz.EndMaximum)
}

// keepTenant keeps the client key that opens the tenant, if there is one. It does so
// before the session, whose transaction cannot: a session changes no policy.
func (t *Tenant) keepTenant(ctx context.Context) error {
	if t.opening == nil {
		return nil
	}
	if t.sessions != nil {
		return errMustOpen
	}
	kept := *t
	kept.opening = nil
	_, err := kept.mutate(ctx, func(tx store.Tx) ([]effect, error) { return t.keepOpening(ctx, tx) })
	return err
}

// RotateSession takes a session token and returns the one to present from now on.
// The error is ErrUnauthenticated, and the authz.SessionRefusal that says why, where
// it is not taken; a session that the token has ended is over on every server before
// anybody is told.
func (t *Tenant) RotateSession(ctx context.Context, presented authz.PresentedSession) (authz.RotatedSession, error) {
	rotated, err := t.rotateSession(ctx, presented)
	t.engine.counts.presented(rotated.Outcome, err)
	return rotated, err
}

func (t *Tenant) rotateSession(ctx context.Context, presented authz.PresentedSession) (authz.RotatedSession, error) {
	p, err := t.present(ctx, presented)
	if err != nil {
		return authz.RotatedSession{}, err
	}
	for range maxSessionTries {
		record, verdict, err := t.judge(ctx, p)
		if err != nil {
			return authz.RotatedSession{}, err
		}
		if verdict.Refusal != "" {
			return authz.RotatedSession{}, t.refuseSession(ctx, p, record, verdict)
		}
		// Before anything is kept, for a session must not outgrow its token.
		token, err := t.signSession(p.keys, verdict.Row, record.ReadAt)
		if err != nil {
			return authz.RotatedSession{}, err
		}
		done, err := t.carryOut(ctx, p, record, verdict)
		if err != nil {
			return authz.RotatedSession{}, err
		}
		if !done {
			continue
		}
		return authz.RotatedSession{Outcome: verdict.Outcome, Session: verdict.Row.Session(), Token: token}, nil
	}
	return authz.RotatedSession{}, fault.Unavailable(nil, "the session is being changed too often")
}

// VerifySession tells whether a session token would be taken, and changes nothing:
// neither does the token become superseded, nor does one end its session that
// RotateSession would end it for.
func (t *Tenant) VerifySession(ctx context.Context, presented authz.PresentedSession) (authz.SessionStatus, error) {
	p, err := t.present(ctx, presented)
	if err == nil {
		var record store.SessionRecord
		var verdict session.Verdict
		record, verdict, err = t.judge(ctx, p)
		if err == nil && verdict.Refusal == "" {
			return authz.SessionStatus{Active: true, Session: record.Row.Session()}, nil
		}
	}
	if _, refused := errors.AsType[authz.SessionRefusal](err); refused {
		err = nil
	}
	return authz.SessionStatus{}, err
}

// presentation is a token that is well signed and of the tenant, with where it came
// from.
type presentation struct {
	claims session.Claims
	client session.Client
	keys   *keySet
}

// present reads a token, which needs no look at sessions.
func (t *Tenant) present(ctx context.Context, presented authz.PresentedSession) (presentation, error) {
	if t.sessions != nil {
		return presentation{}, fault.Invalid("once: cannot hold what takes a session's token")
	}
	if err := t.validateSessions(); err != nil {
		return presentation{}, err
	}
	client, err := clientFrom(presented.IP, presented.UserAgent)
	if err != nil {
		return presentation{}, err
	}
	claims, keys, err := t.engine.parseSession(ctx, presented.Token)
	if err != nil {
		return presentation{}, err
	}
	if claims.Tenant != t.id {
		return presentation{}, refusal(authz.ErrInvalidToken)
	}
	return presentation{claims: claims, client: client, keys: keys}, nil
}

// judge reads the session of a token and decides what becomes of both. The record's
// ReadAt is the time that it was judged at.
func (t *Tenant) judge(ctx context.Context, p presentation) (store.SessionRecord, session.Verdict, error) {
	record, found, err := t.engine.store.Session(ctx, t.id, p.claims.Session)
	if err != nil {
		return store.SessionRecord{}, session.Verdict{}, err
	}
	record.ReadAt = t.engine.sessionTimeAt(record.ReadAt)
	if found && record.User != p.claims.User {
		return store.SessionRecord{}, session.Verdict{}, refusal(authz.ErrInvalidToken)
	}
	if !found {
		return store.SessionRecord{}, session.Verdict{}, refusal(unknownSession(p.claims, record.ReadAt))
	}
	verdict := session.Next(record.Row, record.Owner, p.claims.Generation, p.client, t.engine.sessions.rules(), record.ReadAt)
	return record, verdict, nil
}

// unknownSession refuses a well signed token whose session there is not: it has been
// swept, if it can have been.
func unknownSession(claims session.Claims, now time.Time) authz.SessionRefusal {
	if now.Before(claims.ExpiresAt) {
		return authz.ErrInvalidToken
	}
	return authz.ErrSessionEnded
}

// carryOut brings the session to what the verdict says, by one statement where there
// is nothing to audit. False says that the session is not any more what the verdict
// was about.
func (t *Tenant) carryOut(ctx context.Context, p presentation, record store.SessionRecord, verdict session.Verdict) (bool, error) {
	db, row := t.engine.store, verdict.Row
	switch {
	case verdict.Outcome == authz.SessionRotated && verdict.Moved:
		event := sessionEvent(audit.SessionAddressChanged, audit.Success, row, moveDetails(p, record.Row))
		return t.changeSession(ctx, event, func(tx store.SessionTx) (bool, error) {
			return tx.RotateSession(ctx, record.Generation, row)
		})
	case verdict.Outcome == authz.SessionRotated:
		return db.RotateSession(ctx, t.id, record.Generation, row)
	case verdict.Moved:
		event := sessionEvent(audit.SessionAddressChanged, audit.Success, row, moveDetails(p, record.Row))
		return t.changeSession(ctx, event, func(tx store.SessionTx) (bool, error) { return tx.MoveSession(ctx, row) })
	case verdict.Recovered:
		event := sessionEvent(audit.SessionAnswerRecovered, audit.Success, row, recoveryDetails(p, row))
		return t.changeSession(ctx, event, func(tx store.SessionTx) (bool, error) { return tx.RecoverSession(ctx, row) })
	case verdict.Outcome == authz.SessionReplayed:
		return db.CountReplay(ctx, t.id, row.ID, row.Generation, session.MaxReplays)
	case verdict.Confirms:
		return db.ConfirmSession(ctx, t.id, row.ID, row.Generation)
	default:
		return true, nil
	}
}

// changeSession makes a change and keeps its event, in one transaction.
func (t *Tenant) changeSession(ctx context.Context, event audit.Event, change func(store.SessionTx) (bool, error)) (bool, error) {
	var changed bool
	err := t.updateSessions(ctx, func(tx store.SessionTx) (err error) {
		if changed, err = change(tx); err != nil || !changed {
			return err
		}
		return t.appendSessionEvent(ctx, tx, event)
	})
	return changed && err == nil, err
}

// refuseSession ends the session, where the verdict says so, and then refuses its
// token. Of all that end it at once only one does, and tells the audit log.
func (t *Tenant) refuseSession(ctx context.Context, p presentation, record store.SessionRecord, verdict session.Verdict) error {
	if verdict.End != "" {
		event := sessionEvent(endActions[verdict.End], audit.Refused, record.Row, endDetails(p, record.Row))
		ended, err := t.changeSession(ctx, event, func(tx store.SessionTx) (bool, error) {
			return tx.EndSession(ctx, record.ID, record.ReadAt, verdict.End)
		})
		if err != nil {
			return err
		}
		if ended && verdict.End == authz.EndGenerationAhead {
			t.engine.log.ErrorContext(ctx, "a session token is ahead of the database: an older copy has been restored, or a signing key has leaked",
				"session", record.ID, "presented", p.claims.Generation, "generation", record.Generation)
		}
	}
	return refusal(verdict.Refusal)
}

// refusal is the error of a token that is not taken.
func refusal(why authz.SessionRefusal) error {
	return &fault.Error{Code: fault.CodeUnauthenticated, Detail: string(why), Cause: why}
}

// signSession makes the current token of a session.
func (t *Tenant) signSession(keys *keySet, row session.Row, now time.Time) (string, error) {
	token, err := session.Sign(keys.Keys, t.engine.issuer, session.ClaimsOf(t.id, row), now)
	if errors.Is(err, signing.ErrTooLong) {
		return "", fault.Invalid("user: makes a token longer than %d bytes, with this tenant and issuer", signing.MaxToken)
	}
	return token, err
}
