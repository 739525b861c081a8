package session_test

import (
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/internal/session"
)

const (
	firefox      = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
	newerFirefox = "Mozilla/5.0 (X11; Linux x86_64; rv:141.0) Gecko/20100101 Firefox/141.0"
	chrome       = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"
)

var (
	start = time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)
	home  = session.Client{IP: "192.0.2.1", UserAgent: firefox}
	train = session.Client{IP: "198.51.100.7", UserAgent: firefox}
	rules = session.Rules{Overlap: 10 * time.Second, LostWindow: 5 * time.Minute, Idle: 12 * time.Hour, Absolute: 30 * 24 * time.Hour}
	lazy  = session.Rules{Overlap: rules.Overlap, LostWindow: rules.LostWindow, RotateAfter: time.Minute, Idle: rules.Idle, Absolute: rules.Absolute}
)

// fifth is a session at home, of generation 5 for an hour, whose tokens have all been
// presented but for the current one. They were made a minute apart from each other.
func fifth() session.Row {
	return session.Row{
		ID: "s", User: "ann", Epoch: 3,
		Generation: 5, Confirmed: 4,
		Recent:    []session.Superseded{{UpTo: 3, At: start.Add(-time.Hour - time.Minute)}},
		CreatedAt: start.Add(-time.Hour - 4*time.Minute), RotatedAt: start.Add(-time.Hour),
		IdleExpiresAt: start.Add(11 * time.Hour), ExpiresAt: start.Add(29 * 24 * time.Hour),
		IP: home.IP, UserAgent: home.UserAgent, Binding: authz.BindingStandard,
	}
}

func with(change func(*session.Row)) session.Row {
	row := fifth()
	change(&row)
	return row
}

// rotatedAgo is the fifth generation, made that long ago.
func rotatedAgo(age time.Duration) session.Row {
	return with(func(r *session.Row) { r.RotatedAt = start.Add(-age) })
}

func TestNext(t *testing.T) {
	t.Parallel()
	const second = time.Second
	var (
		invalid = session.Verdict{Refusal: authz.ErrInvalidToken}
		ended   = session.Verdict{Refusal: authz.ErrSessionEnded}
		ahead   = session.Verdict{Refusal: authz.ErrSessionEnded, End: authz.EndGenerationAhead}
		broken  = session.Verdict{Refusal: authz.ErrBindingMismatch, End: authz.EndBindingMismatch}
		theft   = session.Verdict{Refusal: authz.ErrTokenReused, End: authz.EndTokenReused}

		rotated   = session.Verdict{Outcome: authz.SessionRotated}
		current   = session.Verdict{Outcome: authz.SessionCurrent}
		replayed  = session.Verdict{Outcome: authz.SessionReplayed}
		recovered = session.Verdict{Outcome: authz.SessionReplayed, Recovered: true}
	)
	moved := func(v session.Verdict) session.Verdict { v.Moved = true; return v }
	confirms := func(v session.Verdict) session.Verdict { v.Confirms = true; return v }
	without := func(overlap, lost time.Duration) session.Rules {
		r := rules
		r.Overlap, r.LostWindow = overlap, lost
		return r
	}

	tests := []struct {
		name      string
		row       session.Row
		user      session.User
		presented int64
		client    session.Client
		rules     session.Rules
		want      session.Verdict // without Row
	}{
		{"no generation", fifth(), session.User{Epoch: 3}, 0, home, rules, invalid},
		{"a negative generation", fifth(), session.User{Epoch: 3}, -5, home, rules, invalid},
		{"no generation of an ended session", with(func(r *session.Row) { r.EndedAt = start }), session.User{Epoch: 3}, 0, home, rules, invalid},

		{"ended", with(func(r *session.Row) { r.EndedAt = start.Add(time.Hour) }), session.User{Epoch: 3}, 5, home, rules, ended},
		{"idle limit reached", with(func(r *session.Row) { r.IdleExpiresAt = start }), session.User{Epoch: 3}, 5, home, rules, ended},
		{"idle limit ahead", with(func(r *session.Row) { r.IdleExpiresAt = start.Add(1) }), session.User{Epoch: 3}, 5, home, rules, rotated},
		{"absolute limit reached", with(func(r *session.Row) { r.ExpiresAt = start }), session.User{Epoch: 3}, 5, home, rules, ended},
		{"no limits at all", with(func(r *session.Row) { r.IdleExpiresAt, r.ExpiresAt = time.Time{}, time.Time{} }), session.User{Epoch: 3}, 5, home, rules, ended},
		{"user inactive", fifth(), session.User{Epoch: 3, Inactive: true}, 5, home, rules, ended},
		{"user's epoch newer", fifth(), session.User{Epoch: 4}, 5, home, rules, ended},
		{"user's epoch older", fifth(), session.User{Epoch: 2}, 5, home, rules, rotated},
		{"ended goes before binding", with(func(r *session.Row) { r.EndedAt = start }), session.User{Epoch: 3}, 5, session.Client{UserAgent: chrome}, rules, ended},
		{"ended goes before theft", with(func(r *session.Row) { r.EndedAt = start }), session.User{Epoch: 3}, 1, home, rules, ended},
		{"ended goes before ahead", with(func(r *session.Row) { r.EndedAt = start }), session.User{Epoch: 3}, 6, home, rules, ended},

		{"binding broken", fifth(), session.User{Epoch: 3}, 5, session.Client{IP: home.IP, UserAgent: chrome}, rules, broken},
		{"binding goes before theft", fifth(), session.User{Epoch: 3}, 1, session.Client{IP: home.IP, UserAgent: chrome}, rules, broken},
		{"binding goes before ahead", fifth(), session.User{Epoch: 3}, 6, session.Client{IP: home.IP, UserAgent: chrome}, rules, broken},

		{"ahead by one", fifth(), session.User{Epoch: 3}, 6, home, rules, ahead},
		{"ahead by far", fifth(), session.User{Epoch: 3}, 1 << 62, home, rules, ahead},

		{"first presentation", fifth(), session.User{Epoch: 3}, 5, home, rules, rotated},
		{"from another address", fifth(), session.User{Epoch: 3}, 5, train, rules, moved(rotated)},
		{"from another version", fifth(), session.User{Epoch: 3}, 5, session.Client{IP: home.IP, UserAgent: newerFirefox}, rules, rotated},
		{"from the address written another way", fifth(), session.User{Epoch: 3}, 5, session.Client{IP: "::ffff:192.0.2.1", UserAgent: firefox}, rules, rotated},
		{"made in the future, rotating at every use", rotatedAgo(-time.Minute), session.User{Epoch: 3}, 5, home, rules, rotated},

		{"still young", rotatedAgo(time.Minute - 1), session.User{Epoch: 3}, 5, home, lazy, confirms(current)},
		{"still young, presented before", with(func(r *session.Row) { r.RotatedAt, r.Confirmed = start.Add(-second), 5 }), session.User{Epoch: 3}, 5, home, lazy, current},
		{"made in the future", rotatedAgo(-time.Hour), session.User{Epoch: 3}, 5, home, lazy, confirms(current)},
		{"old enough", rotatedAgo(time.Minute), session.User{Epoch: 3}, 5, home, lazy, rotated},
		{"still young, from another address", rotatedAgo(second), session.User{Epoch: 3}, 5, train, lazy, moved(confirms(current))},
		{"still young, from another version", rotatedAgo(second), session.User{Epoch: 3}, 5, session.Client{IP: home.IP, UserAgent: newerFirefox}, lazy, moved(confirms(current))},
		{"still young, the address written another way", rotatedAgo(second), session.User{Epoch: 3}, 5, session.Client{IP: "::ffff:192.0.2.1", UserAgent: firefox}, lazy, confirms(current)},

		{"superseded at the end of the overlap", rotatedAgo(10 * second), session.User{Epoch: 3}, 4, train, rules, replayed},
		{"superseded past the overlap", rotatedAgo(10*second + 1), session.User{Epoch: 3}, 4, train, rules, theft},
		{"superseded in the future", rotatedAgo(-time.Hour), session.User{Epoch: 3}, 4, train, rules, replayed},
		{"superseded twice within the overlap", with(func(r *session.Row) {
			r.RotatedAt, r.Recent = start.Add(-second), []session.Superseded{{UpTo: 2, At: start.Add(-time.Minute)}, {UpTo: 3, At: start.Add(-10 * second)}}
		}), session.User{Epoch: 3}, 3, train, rules, replayed},
		{"superseded before all that are within the overlap", with(func(r *session.Row) {
			r.RotatedAt, r.Recent = start.Add(-second), []session.Superseded{{UpTo: 2}, {UpTo: 3, At: start.Add(-10 * second)}}
		}), session.User{Epoch: 3}, 2, home, rules, theft},
		{"superseded at a time that is not known", with(func(r *session.Row) { r.RotatedAt, r.Recent = start, nil }), session.User{Epoch: 3}, 3, home, rules, theft},
		{"superseded, with no overlap", rotatedAgo(0), session.User{Epoch: 3}, 4, home, without(0, 0), theft},
		{"superseded, with a negative overlap", rotatedAgo(0), session.User{Epoch: 3}, 4, home, without(-second, -second), theft},
		{"superseded in the future, with no overlap", rotatedAgo(-second), session.User{Epoch: 3}, 4, home, without(0, 0), theft},
		{"replayed 99 times", with(func(r *session.Row) { r.RotatedAt, r.Replays = start, 99 }), session.User{Epoch: 3}, 4, home, rules, replayed},
		{"replayed 100 times", with(func(r *session.Row) { r.RotatedAt, r.Replays = start, 100 }), session.User{Epoch: 3}, 4, home, rules, theft},

		{"lost", rotatedAgo(5 * time.Minute), session.User{Epoch: 3}, 4, home, rules, recovered},
		{"lost, with no overlap", rotatedAgo(0), session.User{Epoch: 3}, 4, home, without(0, time.Minute), recovered},
		{"lost too long ago", rotatedAgo(5*time.Minute + 1), session.User{Epoch: 3}, 4, home, rules, theft},
		{"lost, with no lost window", rotatedAgo(time.Minute), session.User{Epoch: 3}, 4, home, without(10*second, 0), theft},
		{"lost, the address written another way", rotatedAgo(time.Minute), session.User{Epoch: 3}, 4, session.Client{IP: "::ffff:192.0.2.1", UserAgent: firefox}, rules, recovered},
		{"lost, from another address", rotatedAgo(time.Minute), session.User{Epoch: 3}, 4, train, rules, theft},
		{"lost, from another version", rotatedAgo(time.Minute), session.User{Epoch: 3}, 4, session.Client{IP: home.IP, UserAgent: newerFirefox}, rules, theft},
		{"lost, but the current one was presented", with(func(r *session.Row) { r.RotatedAt, r.Confirmed = start.Add(-time.Minute), 5 }), session.User{Epoch: 3}, 4, home, rules, theft},
		{"lost, but recovered already", with(func(r *session.Row) { r.RotatedAt, r.Recovered = start.Add(-time.Minute), 5 }), session.User{Epoch: 3}, 4, home, rules, theft},
		{"lost, replayed 100 times", with(func(r *session.Row) { r.RotatedAt, r.Replays = start.Add(-time.Minute), 100 }), session.User{Epoch: 3}, 4, home, rules, theft},
		{"two generations ago", rotatedAgo(time.Minute), session.User{Epoch: 3}, 3, home, rules, theft},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			before := tt.row
			before.Recent = slices.Clone(tt.row.Recent)
			got := session.Next(tt.row, tt.user, tt.presented, tt.client, tt.rules, start)
			if !reflect.DeepEqual(tt.row, before) {
				t.Errorf("Next changed the row: got %+v, want %+v", tt.row, before)
			}
			want := tt.want
			want.Row = got.Row
			if !reflect.DeepEqual(got, want) {
				t.Errorf("got %+v, want %+v", got, want)
			}
			if got.Refusal != "" && !reflect.DeepEqual(got.Row, session.Row{}) {
				t.Errorf("a refusal has row %+v", got.Row)
			}
		})
	}
}

func TestNextRow(t *testing.T) {
	t.Parallel()
	user := session.User{Epoch: 3}
	tests := []struct {
		name      string
		row       session.Row
		presented int64
		client    session.Client
		rules     session.Rules
		want      func(*session.Row) // changes the row
	}{
		{
			name: "rotated", presented: 5, client: train, rules: rules,
			row: with(func(r *session.Row) { r.RotatedAt, r.Replays, r.Recovered = start.Add(-time.Second), 7, 5 }),
			want: func(r *session.Row) {
				r.Generation, r.Confirmed, r.Replays = 6, 5, 0
				r.Recent = []session.Superseded{{UpTo: 3}, {UpTo: 4, At: start.Add(-time.Second)}}
				r.RotatedAt, r.IdleExpiresAt = start, start.Add(rules.Idle)
				r.IP, r.UserAgent = train.IP, train.UserAgent
			},
		},
		{
			name: "rotated close to the absolute limit", presented: 5, client: home, rules: rules,
			row: with(func(r *session.Row) { r.ExpiresAt = start.Add(time.Hour) }),
			want: func(r *session.Row) {
				r.Generation, r.Confirmed = 6, 5
				r.Recent = []session.Superseded{{UpTo: 4}}
				r.RotatedAt, r.IdleExpiresAt = start, start.Add(time.Hour)
			},
		},
		{
			name: "rotated after an answer was recovered", presented: 5, client: home, rules: rules,
			row: with(func(r *session.Row) {
				r.RotatedAt, r.Recovered = start.Add(-time.Minute), 5
				r.Recent = []session.Superseded{{UpTo: 3}, {UpTo: 4, At: start.Add(-time.Second)}}
			}),
			want: func(r *session.Row) {
				r.Generation, r.Confirmed = 6, 5
				r.RotatedAt, r.IdleExpiresAt = start, start.Add(rules.Idle)
			},
		},
		{
			name: "rotated after the clock went back", presented: 5, client: home, rules: rules,
			row: with(func(r *session.Row) {
				r.RotatedAt = start.Add(time.Minute)
				r.Recent = []session.Superseded{{UpTo: 3, At: start.Add(50 * time.Second)}}
			}),
			want: func(r *session.Row) {
				r.Generation, r.Confirmed = 6, 5
				r.Recent = []session.Superseded{{UpTo: 4, At: start}}
				r.RotatedAt, r.IdleExpiresAt = start, start.Add(rules.Idle)
			},
		},
		{
			name: "current, for the first time", presented: 5, client: home, rules: lazy,
			row:  rotatedAgo(time.Second),
			want: func(r *session.Row) { r.Confirmed = 5 },
		},
		{
			name: "current, from another address", presented: 5, client: train, rules: lazy,
			row:  rotatedAgo(time.Second),
			want: func(r *session.Row) { r.Confirmed, r.IP, r.UserAgent = 5, train.IP, train.UserAgent },
		},
		{
			name: "replayed, from another address", presented: 4, client: train, rules: rules,
			row:  rotatedAgo(time.Second),
			want: func(r *session.Row) { r.Replays = 1 },
		},
		{
			name: "recovered", presented: 4, client: home, rules: rules,
			row: rotatedAgo(time.Minute),
			want: func(r *session.Row) {
				r.Replays, r.Recovered = 1, 5
				r.Recent = []session.Superseded{{UpTo: 3}, {UpTo: 4, At: start}}
			},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			want := tt.row
			tt.want(&want)
			if got := session.Next(tt.row, user, tt.presented, tt.client, tt.rules, start).Row; !reflect.DeepEqual(got, want) {
				t.Errorf("got  %+v\nwant %+v", got, want)
			}
		})
	}
}

func TestNew(t *testing.T) {
	t.Parallel()
	asked := authz.NewSession{User: "ann", IP: home.IP, UserAgent: home.UserAgent, Binding: authz.BindingStrict}
	want := session.Row{
		ID: "s", User: "ann", Epoch: 3, Generation: 1,
		CreatedAt: start, RotatedAt: start, IdleExpiresAt: start.Add(rules.Idle), ExpiresAt: start.Add(rules.Absolute),
		IP: home.IP, UserAgent: home.UserAgent, Binding: authz.BindingStrict,
	}
	if got := session.New("s", asked, 3, rules, start); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	short := rules
	short.Absolute = time.Minute
	if got := session.New("s", asked, 3, short, start).IdleExpiresAt; !got.Equal(start.Add(time.Minute)) {
		t.Errorf("idle limit: got %v, want the absolute one", got)
	}
}

func TestSessionShowsTheRow(t *testing.T) {
	t.Parallel()
	row := with(func(r *session.Row) { r.EndedAt, r.EndReason = start, authz.EndRevoked })
	want := authz.Session{
		ID: "s", User: "ann", Generation: 5, IP: home.IP, UserAgent: home.UserAgent, Binding: authz.BindingStandard,
		CreatedAt: row.CreatedAt, LastSeenAt: row.RotatedAt, IdleExpiresAt: row.IdleExpiresAt, ExpiresAt: row.ExpiresAt,
		EndedAt: start, EndReason: authz.EndRevoked,
	}
	if got := row.Session(); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// TestRecoveredAnswerOpensTheOverlapAgain is of a browser that lost an answer and comes
// back with several requests at once.
func TestRecoveredAnswerOpensTheOverlapAgain(t *testing.T) {
	t.Parallel()
	user := session.User{Epoch: 3}
	row := session.Next(rotatedAgo(time.Minute), user, 4, home, rules, start).Row
	for _, at := range []time.Time{start, start.Add(rules.Overlap)} {
		got := session.Next(row, user, 4, home, rules, at)
		if got.Outcome != authz.SessionReplayed || got.Recovered {
			t.Errorf("old token after %v: got %+v, want an ordinary replay", at.Sub(start), got)
		}
	}
	rotated := session.Next(row, user, 5, home, rules, start.Add(time.Second)).Row
	if got := session.Next(rotated, user, 4, home, rules, start.Add(rules.Overlap)); got.Outcome != authz.SessionReplayed {
		t.Errorf("old token after the new one was used: got %+v, want a replay", got)
	}
	late := start.Add(rules.Overlap + rules.Overlap/16)
	for name, row := range map[string]session.Row{"unused": row, "used": rotated} {
		if got := session.Next(row, user, 4, home, rules, late); got.End != authz.EndTokenReused {
			t.Errorf("old token after the overlap, the new one %s: got %+v, want a theft", name, got)
		}
	}
}
