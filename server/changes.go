package server

import (
	"context"
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/gen/api"
	"github.com/gatehouse/gatehouse/internal/fault"
)

const (
	// eventStream is the media type of server-sent events (WHATWG HTML, section 9.2).
	eventStream = "text/event-stream"
	// streamPoll is how often a stream looks for changes.
	streamPoll = 500 * time.Millisecond
	// streamPulse is how often a stream shows that it lives, and asks whether the
	// caller's key still does.
	streamPulse = 15 * time.Second
	// streamWrite bounds how long a stream waits for a caller that does not read.
	streamWrite = 30 * time.Second
)

func (handlers) ListChanges(ctx context.Context, r api.ListChangesRequestObject) (api.ListChangesResponseObject, error) {
	p, err := page(r.Params.Limit, nil)
	if err != nil {
		return nil, err
	}
	after, err := changesAfter(r.Params)
	if err != nil {
		return nil, err
	}
	l, err := tenant(ctx).Changes(ctx, after, p)
	if err != nil {
		return nil, err
	}
	return api.ListChanges200JSONResponse{ChangeListResponseJSONResponse: api.ChangeListResponseJSONResponse{
		Body: api.ChangeListEnvelope{
			Success: true, Code: 200, Message: ok, Timestamp: timestamp(), Data: convert(l.Items, changeOf),
		},
		Headers: api.ChangeListResponseResponseHeaders{GatehouseRevision: &l.Revision, Link: next(ctx, moreChanges(l))},
	}}, nil
}

// changesAfter is the revision to begin after. A cursor of the feed is the last
// revision of the page before.
func changesAfter(params api.ListChangesParams) (int64, error) {
	if orZero(params.Cursor) == "" {
		return orZero(params.After), nil
	}
	after, err := strconv.ParseUint(*params.Cursor, 10, 63)
	if err != nil {
		return 0, fault.Invalid("cursor: is not one that this list gave")
	}
	return int64(after), nil
}

// moreChanges is the cursor behind a page that is not the last. Every revision has
// a change, so the page that reaches the revision it was read at is.
func moreChanges(l authz.List[authz.Change]) string {
	if len(l.Items) == 0 {
		return ""
	}
	last := l.Items[len(l.Items)-1].Revision
	if last >= l.Revision {
		return ""
	}
	return strconv.FormatInt(last, 10)
}

func changeOf(c authz.Change) api.Change {
	return api.Change{Revision: c.Revision, Kind: c.Kind, Key: c.Key}
}

// ListChanges answers with a stream where the caller asks for one.
func (s shortcuts) ListChanges(w http.ResponseWriter, r *http.Request, params api.ListChangesParams) {
	if !wantsEvents(r) {
		s.ServerInterface.ListChanges(w, r, params)
		return
	}
	after := orZero(params.After)
	if params.LastEventID != nil {
		after = *params.LastEventID
	}
	s.server.streamChanges(w, r, after)
}

func wantsEvents(r *http.Request) bool {
	if r.Method != http.MethodGet {
		return false
	}
	for accepted := range strings.SplitSeq(strings.Join(r.Header.Values("Accept"), ","), ",") {
		if mediaType, _, err := mime.ParseMediaType(accepted); err == nil && mediaType == eventStream {
			return true
		}
	}
	return false
}

// maxStreams bounds the change streams of one server: each asks the database twice
// a second.
const maxStreams = 256

// streamChanges sends the changes behind a revision, and those that follow, until
// the caller goes, the server ends or the caller's key is no longer good.
func (s *Server) streamChanges(w http.ResponseWriter, r *http.Request, after int64) {
	if s.streams.Add(1) > maxStreams {
		s.streams.Add(-1)
		s.fail(w, r, fault.Unavailable(nil, "as many change streams are open as the server serves"))
		return
	}
	defer s.streams.Add(-1)
	feed := feed{tenant: tenant(r.Context()), after: after}
	changes, err := feed.next(r.Context())
	if err != nil {
		s.fail(w, r, err)
		return
	}
	stream, err := openStream(w, changes.Revision)
	if err == nil {
		err = s.follow(r, &feed, changes, stream)
	}
	// The caller sees only the end, and comes back.
	if err != nil && r.Context().Err() == nil {
		s.log.Warn("stream ended", "request_id", exchangeOf(r.Context()).requestID, "error", err)
	}
}

// follow sends changes and what comes behind them. It returns nil where the caller
// or the server ends the stream.
func (s *Server) follow(r *http.Request, feed *feed, changes authz.List[authz.Change], stream *stream) (err error) {
	poll, pulse := time.NewTicker(streamPoll), time.NewTicker(streamPulse)
	defer poll.Stop()
	defer pulse.Stop()
	for {
		for len(changes.Items) > 0 {
			if err := stream.send(changes.Items); err != nil {
				return err
			}
			if changes, err = feed.next(r.Context()); err != nil {
				return err
			}
		}
		select {
		case <-r.Context().Done():
			return nil
		case <-s.stopping:
			return nil
		case <-poll.C:
		case <-pulse.C:
			if err := s.pulse(r, stream); err != nil {
				return err
			}
		}
		if changes, err = feed.next(r.Context()); err != nil {
			return err
		}
	}
}

// feed reads a tenant's changes on and on.
type feed struct {
	tenant *engine.Tenant
	// after is the last revision that was read.
	after int64
}

// next reads the changes that follow, whole revisions of them; none where there is
// nothing yet.
func (f *feed) next(ctx context.Context) (authz.List[authz.Change], error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	l, err := f.tenant.Changes(ctx, f.after, authz.Page{})
	if err == nil && len(l.Items) > 0 {
		f.after = l.Items[len(l.Items)-1].Revision
	}
	return l, err
}

// pulse asks whether the caller may still read, and says that the stream lives.
func (s *Server) pulse(r *http.Request, stream *stream) error {
	ctx, cancel := context.WithTimeout(r.Context(), requestTimeout)
	defer cancel()
	if err := s.admit(ctx, r, exchangeOf(ctx).operation); err != nil {
		return err
	}
	return stream.write(":\n\n")
}

// stream is an answer that goes on.
type stream struct {
	w       http.ResponseWriter
	control *http.ResponseController
}

func openStream(w http.ResponseWriter, revision int64) (*stream, error) {
	s := &stream{w: w, control: http.NewResponseController(w)}
	// The server's time limits are for requests that end.
	if err := s.control.SetReadDeadline(time.Time{}); err != nil {
		return nil, fmt.Errorf("lift the read deadline: %w", err)
	}
	w.Header().Set("Content-Type", eventStream)
	w.Header().Set("Gatehouse-Revision", strconv.FormatInt(revision, 10))
	w.WriteHeader(http.StatusOK)
	return s, s.write("")
}

// send sends whole revisions. The last change of each carries the revision as its
// id, so that a caller who comes back with it has the whole revision behind it.
func (s *stream) send(changes []authz.Change) error {
	var events strings.Builder
	for i, change := range changes {
		events.WriteString("event: change\n")
		if i == len(changes)-1 || changes[i+1].Revision != change.Revision {
			events.WriteString("id: " + strconv.FormatInt(change.Revision, 10) + "\n")
		}
		data, err := json.Marshal(changeOf(change))
		if err != nil {
			return err
		}
		events.WriteString("data: " + string(data) + "\n\n")
	}
	return s.write(events.String())
}

func (s *stream) write(text string) error {
	if err := s.control.SetWriteDeadline(time.Now().Add(streamWrite)); err != nil {
		return err
	}
	if _, err := s.w.Write([]byte(text)); err != nil {
		return err
	}
	return s.control.Flush()
}
