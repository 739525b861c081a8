package sqlstore

import (
	"cmp"
	"context"
	"strconv"
	"strings"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/gen/postgres"
	"github.com/gatehouse/gatehouse/internal/seal"
)

// This file seals memberships.

var membershipsSubject = seal.Column{Table: "memberships", Name: "subject"}

// tag is the content of a row of which nothing is only read back: its seal binds the
// columns to each other.
type tag struct{}

func membershipIdentity(row postgres.Membership) []string {
	return []string{
		row.SubjectType, row.Subject, row.NodeType, row.NodeID, row.Role,
		strconv.FormatInt(row.NotBefore, 10), strconv.FormatInt(row.ExpiresAt, 10),
	}
}

// openMembership opens a row of memberships.
func (q *sealed) openMembership(row postgres.Membership) (postgres.Membership, error) {
	var err error
	if row.Subject, err = q.openName(membershipsSubject, row.Subject, row.Seal); err != nil {
		return postgres.Membership{}, err
	}
	if err := q.openRow(membershipsSubject.Table, membershipIdentity(row), row.Seal, &tag{}); err != nil {
		return postgres.Membership{}, err
	}
	row.Seal = ""
	return row, nil
}

// sealMembership is a row of memberships as it is written.
func (q *sealed) sealMembership(row postgres.Membership) (postgres.Membership, error) {
	var err error
	if row.Seal, err = q.rowSeal(membershipsSubject.Table, membershipIdentity(row), tag{}); err != nil {
		return postgres.Membership{}, err
	}
	row.Subject, err = q.name(membershipsSubject, row.Subject)
	return row, err
}

// openMemberships opens rows in place.
func (q *sealed) openMemberships(rows []postgres.Membership) error {
	for i := range rows {
		var err error
		if rows[i], err = q.openMembership(rows[i]); err != nil {
			return err
		}
	}
	return nil
}

// membership reads one membership; an error of isNoRows where there is none.
func (q *sealed) membership(ctx context.Context, key postgres.SealedMembershipParams) (postgres.Membership, error) {
	row, err := byName(q, membershipsSubject, key.Subject, func(form string) (postgres.Membership, error) {
		key.Subject = form
		return q.Querier.SealedMembership(ctx, key)
	})
	if err != nil {
		return postgres.Membership{}, err
	}
	return q.openMembership(row)
}

func membershipKey(row postgres.Membership) postgres.SealedMembershipParams {
	return postgres.SealedMembershipParams{
		Tenant:      row.Tenant,
		SubjectType: row.SubjectType,
		Subject:     row.Subject,
		NodeType:    row.NodeType,
		NodeID:      row.NodeID,
		Role:        row.Role,
	}
}

func (q *sealed) CreateMembership(ctx context.Context, membership postgres.CreateMembershipParams) (int64, error) {
	// The insert itself finds the form that it writes.
	if len(q.also) > 0 {
		_, err := q.membership(ctx, membershipKey(postgres.Membership(membership)))
		if !isNoRows(err) {
			return 0, err
		}
	}
	row, err := q.sealMembership(postgres.Membership(membership))
	if err != nil {
		return 0, err
	}
	return q.Querier.CreateMembership(ctx, postgres.CreateMembershipParams(row))
}

func (q *sealed) SetMembershipWindow(ctx context.Context, window postgres.SetMembershipWindowParams) (int64, error) {
	row := postgres.Membership{
		Tenant: window.Tenant, SubjectType: window.SubjectType, Subject: window.Subject,
		NodeType: window.NodeType, NodeID: window.NodeID, Role: window.Role,
		NotBefore: window.NotBefore, ExpiresAt: window.ExpiresAt,
	}
	before, err := q.membership(ctx, membershipKey(row))
	switch {
	case isNoRows(err):
		return 0, nil
	case err != nil:
		return 0, err
	case before == row:
		return 0, nil
	}
	if _, err := q.DeleteMembership(ctx, postgres.DeleteMembershipParams(membershipKey(row))); err != nil {
		return 0, err
	}
	if row, err = q.sealMembership(row); err != nil {
		return 0, err
	}
	return q.Querier.CreateMembership(ctx, postgres.CreateMembershipParams(row))
}

func (q *sealed) DeleteMembership(ctx context.Context, membership postgres.DeleteMembershipParams) (int64, error) {
	return q.each(membershipsSubject, membership.Subject, func(form string) (int64, error) {
		membership.Subject = form
		return q.Querier.DeleteMembership(ctx, membership)
	})
}

func (q *sealed) DeleteMembershipsOfSubject(ctx context.Context, subject postgres.DeleteMembershipsOfSubjectParams) (int64, error) {
	return q.each(membershipsSubject, subject.Subject, func(form string) (int64, error) {
		subject.Subject = form
		return q.Querier.DeleteMembershipsOfSubject(ctx, subject)
	})
}

// MembershipOutside finds another than in plain where several are at one node.
func (q *sealed) MembershipOutside(ctx context.Context, outside postgres.MembershipOutsideParams) (postgres.MembershipOutsideRow, error) {
	found, err := q.Querier.MembershipOutside(ctx, outside)
	if err != nil {
		return postgres.MembershipOutsideRow{}, err
	}
	row, err := q.openMembership(postgres.Membership{
		SubjectType: found.SubjectType, Subject: found.Subject,
		NodeType: found.NodeType, NodeID: found.NodeID, Role: found.Role,
		NotBefore: found.NotBefore, ExpiresAt: found.ExpiresAt, Seal: found.Seal,
	})
	found.Subject, found.Seal = row.Subject, row.Seal
	return found, err
}

// Memberships reads all memberships at the node to put them in order.
func (q *sealed) Memberships(ctx context.Context, page postgres.MembershipsParams) ([]postgres.MembershipsRow, error) {
	found := first[postgres.MembershipsRow]{
		max: page.MaxRows,
		// Users come before groups.
		compare: func(a, b postgres.MembershipsRow) int {
			return cmp.Or(strings.Compare(b.SubjectType, a.SubjectType), strings.Compare(a.Subject, b.Subject), strings.Compare(a.Role, b.Role))
		},
	}
	list := func(after postgres.MembershipsRow) error {
		return scan(func(last postgres.Membership) ([]postgres.Membership, error) {
			return q.Querier.SealedMembershipsAt(ctx, postgres.SealedMembershipsAtParams{
				Tenant: page.Tenant, NodeType: page.NodeType, NodeID: page.NodeID, SubjectType: after.SubjectType,
				AfterSubject: last.Subject, AfterRole: last.Role, MaxRows: scanRows,
			})
		}, func(row postgres.Membership) error {
			row, err := q.openMembership(row)
			membership := postgres.MembershipsRow{
				SubjectType: row.SubjectType, Subject: row.Subject, Role: row.Role,
				NotBefore: row.NotBefore, ExpiresAt: row.ExpiresAt,
			}
			if err == nil && found.compare(membership, after) > 0 {
				found.add(membership)
			}
			return err
		})
	}
	if page.WithUsers == 1 {
		err := list(postgres.MembershipsRow{SubjectType: string(authz.UserType), Subject: page.AfterUser, Role: page.AfterUserRole})
		if err != nil {
			return nil, err
		}
	}
	err := list(postgres.MembershipsRow{SubjectType: string(authz.GroupType), Subject: page.AfterGroup, Role: page.AfterGroupRole})
	if err != nil {
		return nil, err
	}
	return found.list(), nil
}
