package sqlstore_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/gatehouse/gatehouse/gen/postgres"
)

// treatment says what sealed does with a query.
type treatment string

const (
	// answered is for a query that asks for a sealed column or gives one.
	answered treatment = "answered by sealed"
	// passedOn is for one that does neither.
	passedOn treatment = "passed on"
	// stored is for one that asks for rows as they are stored, or gives such.
	stored treatment = "passed on as it is stored"
)

// treatments holds every query, but for those that are named for what they are stored
// for: Sealed…, which sealed itself asks, and …Behind and Reseal…, for sealing rows anew.
var treatments = map[string]treatment{
	"AddGroupMember":             answered,
	"AllGrants":                  answered,
	"AllRoleParents":             passedOn,
	"AllRoles":                   answered,
	"AllSealedRows":              passedOn,
	"AllSigningKeys":             stored,
	"AnythingSealable":           passedOn,
	"AuditCheckpoint":            passedOn,
	"AuditCheckpoints":           passedOn,
	"AuditEvent":                 answered,
	"AuditEventAt":               answered,
	"AuditEvents":                answered,
	"AuditEventsOfAction":        answered,
	"AuditEventsOfRequest":       answered,
	"AuditEventsOfResource":      answered,
	"AuditEventsOfSubject":       answered,
	"AuditEventsRefused":         answered,
	"AuditHead":                  passedOn,
	"AuditTile":                  passedOn,
	"AwaitDecisionWriters":       passedOn,
	"AwaitEventWriters":          passedOn,
	"AwaitSessionUserWriters":    passedOn,
	"AwaitSessionWriters":        passedOn,
	"AwaitTenantWriters":         passedOn,
	"AwaitTokenWriters":          passedOn,
	"Catalogue":                  answered,
	"ChangesAfter":               answered,
	"ClientKeyByFingerprint":     passedOn,
	"ClientKeyByHash":            passedOn,
	"ClientKeys":                 passedOn,
	"ConfirmSession":             passedOn,
	"CountMembers":               answered,
	"CountReplay":                passedOn,
	"CountUnsealedTenants":       passedOn,
	"CreateAuditCheckpoint":      passedOn,
	"CreateAuditEvent":           answered,
	"CreateChange":               answered,
	"CreateClientKey":            passedOn,
	"CreateDecision":             answered,
	"CreateEncryptionKey":        passedOn,
	"CreateGroup":                answered,
	"CreateLease":                passedOn,
	"CreateMembership":           answered,
	"CreateRole":                 answered,
	"CreateRoleParent":           passedOn,
	"CreateSession":              answered,
	"CreateSessionUser":          stored,
	"CreateSigningKey":           answered,
	"CreateTokenFamily":          answered,
	"CreateUnwrittenTenant":      passedOn,
	"DatabaseTime":               passedOn,
	"Decisions":                  answered,
	"DecisionsByAnswer":          answered,
	"DecisionsOfPermission":      answered,
	"DecisionsOfRequest":         answered,
	"DecisionsOfUser":            answered,
	"DecisionsOnResource":        answered,
	"DefiningTool":               answered,
	"DeleteAuditCheckpoint":      passedOn,
	"DeleteAuditEvents":          passedOn,
	"DeleteChildrenOfRole":       passedOn,
	"DeleteDecision":             passedOn,
	"DeleteGrant":                answered,
	"DeleteGrantsOfRole":         passedOn,
	"DeleteGroup":                answered,
	"DeleteMembersOfGroup":       answered,
	"DeleteMembership":           answered,
	"DeleteMembershipsAt":        passedOn,
	"DeleteMembershipsOfRole":    passedOn,
	"DeleteMembershipsOfSubject": answered,
	"DeleteNodes":                passedOn,
	"DeleteParentsOfRole":        passedOn,
	"DeletePermissionsOfTool":    passedOn,
	"DeleteReceipts":             passedOn,
	"DeleteRole":                 passedOn,
	"DeleteRoleParent":           passedOn,
	"DeleteSession":              passedOn,
	"DeleteSigningKeys":          passedOn,
	"DeleteTokenFamilies":        passedOn,
	"DeleteTool":                 passedOn,
	"DeleteToolPermission":       answered,
	"DeleteUser":                 answered,
	"DisownNodes":                answered,
	"DueSessions":                stored,
	"Encryption":                 passedOn,
	"EncryptionKeys":             passedOn,
	"EndLease":                   passedOn,
	"EndOldestSessions":          answered,
	"EndSession":                 passedOn,
	"EndSessionsOfUser":          answered,
	"EndTokenFamiliesOfUser":     answered,
	"EndTokenFamily":             passedOn,
	"FirstAuditPlace":            passedOn,
	"Grant":                      answered,
	"Grants":                     answered,
	"Group":                      answered,
	"GroupMembers":               answered,
	"Groups":                     answered,
	"GroupsAbove":                answered,
	"HoldEncryption":             passedOn,
	"HoldTenantSealing":          passedOn,
	"Holders":                    answered,
	"Holdings":                   answered,
	"HoldingsOf":                 answered,
	"KeepReceipt":                passedOn,
	"KnownPermissions":           answered,
	"KnownUsers":                 answered,
	"LeaveGroups":                answered,
	"LiveSessionsOfUser":         answered,
	"LockAuditHead":              passedOn,
	"LockEncryption":             passedOn,
	"LockNumber":                 passedOn,
	"LockSession":                stored,
	"LockSessionUser":            answered,
	"LockStoredSessionUser":      stored,
	"LockTenant":                 passedOn,
	"LockTenantSealing":          passedOn,
	"MarkSessionMoved":           passedOn,
	"Members":                    answered,
	"MembershipOutside":          answered,
	"Memberships":                answered,
	"MoveSession":                answered,
	"NextAuditTenant":            passedOn,
	"Node":                       answered,
	"Nodes":                      answered,
	"NodesBelow":                 passedOn,
	"NodesNamed":                 answered,
	"NodesOfType":                passedOn,
	"NodesOwned":                 answered,
	"NodesUnder":                 answered,
	"NodesWithin":                passedOn,
	"OldestAuditPlace":           passedOn,
	"PendingAuditEvents":         answered,
	"PendingAuditTenant":         passedOn,
	"PostponeSweep":              passedOn,
	"RaiseRevision":              passedOn,
	"RaiseSessionEpoch":          answered,
	"Receipt":                    passedOn,
	"RecoverSession":             passedOn,
	"RefreshTokenFamily":         passedOn,
	"RemoveGroupMember":          answered,
	"RetireEncryptionKeys":       passedOn,
	"Revision":                   passedOn,
	"Revisions":                  passedOn,
	"RevokeClientKey":            passedOn,
	"Role":                       answered,
	"Roles":                      answered,
	"RolesAbove":                 passedOn,
	"RotateSession":              answered,
	"RotateSessionInPlace":       stored,
	"SequenceAuditEvent":         passedOn,
	"SequencedAuditEvents":       answered,
	"Session":                    answered,
	"SessionUser":                stored,
	"Sessions":                   answered,
	"SessionsOfUser":             answered,
	"SetAuditCheckpointed":       passedOn,
	"SetAuditFiled":              passedOn,
	"SetAuditPruned":             passedOn,
	"SetAuditSize":               passedOn,
	"SetAuditTile":               passedOn,
	"SetClientKeyExpiry":         passedOn,
	"SetEncryption":              passedOn,
	"SetGrant":                   answered,
	"SetGroup":                   answered,
	"SetMembershipWindow":        answered,
	"SetNode":                    answered,
	"SetRole":                    answered,
	"SetRoleDescription":         answered,
	"SetSettings":                passedOn,
	"SetTenantSealing":           passedOn,
	"SetTool":                    answered,
	"SetToolPermission":          answered,
	"SetUser":                    answered,
	"Settings":                   passedOn,
	"SigningKeys":                answered,
	"StaleDecisions":             passedOn,
	"StaleSessions":              passedOn,
	"TakeLease":                  passedOn,
	"TenantSealing":              passedOn,
	"TokenFamily":                answered,
	"TokenFamilyByHandle":        answered,
	"Tool":                       answered,
	"Tools":                      answered,
	"UnfiledAuditCheckpoints":    passedOn,
	"UnknownTenants":             passedOn,
	"UnsealedTenants":            passedOn,
	"UnsignedAuditTenant":        passedOn,
	"User":                       answered,
	"Users":                      answered,
	"UsersNamed":                 answered,
	"WaitAtMost":                 passedOn,
}

// TestSealedQueries holds every query to what sealed does with it, so that none is
// forgotten.
func TestSealedQueries(t *testing.T) {
	t.Parallel()
	methods := methodsOf(t, "sealed")
	queries := reflect.TypeFor[postgres.Querier]()
	for i := range queries.NumMethod() {
		name := queries.Method(i).Name
		want, known := treatments[name]
		if strings.HasPrefix(name, "Sealed") || strings.HasPrefix(name, "Reseal") || strings.HasSuffix(name, "Behind") {
			want, known = stored, true
		}
		if !known {
			t.Errorf("%s is not among the treatments", name)
		} else if methods[name] != (want == answered) {
			t.Errorf("%s: got %t for a method of sealed, but it is to be %s", name, methods[name], want)
		}
	}
	for name := range treatments {
		if _, ok := queries.MethodByName(name); !ok {
			t.Errorf("%s is no query", name)
		}
	}
}

// methodsOf reads the names of a type's own methods from the package's files.
func methodsOf(t *testing.T, typeName string) map[string]bool {
	t.Helper()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	methods := map[string]bool{}
	for _, path := range files {
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range file.Decls {
			method, ok := decl.(*ast.FuncDecl)
			if !ok || method.Recv == nil {
				continue
			}
			if pointer, ok := method.Recv.List[0].Type.(*ast.StarExpr); ok {
				if receiver, ok := pointer.X.(*ast.Ident); ok && receiver.Name == typeName {
					methods[method.Name.Name] = true
				}
			}
		}
	}
	return methods
}
