package server

import (
	"context"
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/gen/api"
	"github.com/gatehouse/gatehouse/internal/fault"
)

const (
	// eventStream is the media type of server-sent events (WHATWG HTML, section 9.2).
	eventStream = "text/event-stream"
	// streamPulse is how often a stream shows that it lives, and asks whether the
	// caller's key still does.
	streamPulse = 15 * time.Second
	// streamWrite bounds how long a stream waits for a caller that does not read.
	streamWrite = 30 * time.Second
)

func (handlers) ListChanges(ctx context.Context, r api.ListChangesRequestObject) (api.ListChangesResponseObject, error) {
	p, err := page(r.Params.Limit, r.Params.Cursor)
	if err != nil {
		return nil, err
	}
	l, err := tenant(ctx).Changes(ctx, orZero(r.Params.After), p)
	if err != nil {
		return nil, err
	}
	return api.ListChanges200JSONResponse{ChangeListResponseJSONResponse: api.ChangeListResponseJSONResponse{
		Body: api.ChangeListEnvelope{
			Success: true, Code: 200, Message: ok, Timestamp: timestamp(), Data: convert(l.Items, changeOf),
		},
		Headers: api.ChangeListResponseResponseHeaders{GatehouseRevision: &l.Revision, Link: next(ctx, l.Next)},
	}}, nil
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

// How many change streams one server serves, in all and to one tenant: each keeps a
// connection, and reads every change of its tenant for itself.
const (
	maxStreams          = 256
	maxStreamsPerTenant = 32
)

// openStreams counts the change streams that are open.
type openStreams struct {
	mu       sync.Mutex
	all      int
	byTenant map[string]int
}

// enter counts one more, unless there are too many; leave counts it off.
func (o *openStreams) enter(tenant string) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case o.all == maxStreams:
		return fault.Unavailable(nil, "as many change streams are open as the server serves")
	case o.byTenant[tenant] == maxStreamsPerTenant:
		return fault.Unavailable(nil, "as many change streams are open as the server serves to one tenant")
	}
	if o.byTenant == nil {
		o.byTenant = map[string]int{}
	}
	o.all++
	o.byTenant[tenant]++
	return nil
}

func (o *openStreams) count() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.all
}

func (o *openStreams) leave(tenant string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.all--
	if o.byTenant[tenant]--; o.byTenant[tenant] == 0 {
		delete(o.byTenant, tenant)
	}
}

// streamChanges sends the changes behind a revision, and those that follow, until
// the caller goes, the server ends or the caller's key is no longer good.
func (s *Server) streamChanges(w http.ResponseWriter, r *http.Request, after int64) {
	id := tenant(r.Context()).ID()
	if err := s.streams.enter(id); err != nil {
		s.fail(w, r, err)
		return
	}
	defer s.streams.leave(id)
	ctx, end := context.WithCancel(r.Context())
	defer end()
	go func() {
		select {
		case <-s.leaving:
			end()
		case <-ctx.Done():
		}
	}()
	feed := feed{tenant: tenant(ctx), after: after}
	changes, err := feed.next(ctx)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	exchangeOf(ctx).streamed = true
	stream, err := openStream(w, changes.Revision)
	if err == nil {
		err = s.follow(ctx, r, &feed, changes, stream)
	}
	// The caller sees only the end, and comes back.
	if err != nil && ctx.Err() == nil {
		s.log.Warn("stream ended", exchangeOf(ctx).ids(), "error", err)
	}
}

// follow sends changes and what comes behind them, until ctx ends or something fails.
func (s *Server) follow(ctx context.Context, r *http.Request, feed *feed, changes authz.List[authz.Change], stream *stream) (err error) {
	pulse := time.Now().Add(streamPulse)
	for {
		if now := time.Now(); !now.Before(pulse) {
			if err := s.pulse(r, stream); err != nil {
				return err
			}
			pulse = now.Add(streamPulse)
		}
		if len(changes.Items) > 0 {
			if err := stream.send(changes.Items); err != nil {
				return err
			}
		} else if came, err := feed.await(ctx, pulse); err != nil {
			return err
		} else if !came {
			continue
		}
		if changes, err = feed.next(ctx); err != nil {
			return err
		}
	}
}

// feed reads a tenant's changes on and on.
type feed struct {
	tenant *engine.Tenant
	// after is the revision behind which nothing has been read.
	after int64
}

// next reads the changes that follow, whole revisions of them; none where there is
// nothing yet.
func (f *feed) next(ctx context.Context) (authz.List[authz.Change], error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	l, err := f.tenant.Changes(ctx, f.after, authz.Page{})
	switch {
	case err != nil:
	case l.Next != "":
		f.after = l.Items[len(l.Items)-1].Revision
	default:
		f.after = max(f.after, l.Revision)
	}
	return l, err
}

// await waits for changes until a time, and reports whether any came.
func (f *feed) await(ctx context.Context, until time.Time) (bool, error) {
	waiting, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	err := f.tenant.AwaitChange(waiting, f.after)
	if waiting.Err() != nil {
		return false, ctx.Err()
	}
	return err == nil, err
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
