package authz

import (
	"errors"
	"fmt"
	"maps"
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
)

// MaxCondition is the longest condition, in bytes.
const MaxCondition = 4096

// Condition is a compiled CEL expression (github.com/google/cel-spec) over
//
//	subject   {type, id, properties}
//	resource  {type, id, properties}
//	action    {name, properties}
//	context   the request's own map
//	now       a timestamp
//
// It is safe for many goroutines.
type Condition struct {
	source  string
	program cel.Program
	// refused is why there is no program; nil where there is one.
	refused error
}

// environment declares what a condition may speak of. Its parts are maps, for
// properties have no fixed type.
var environment = func() *cel.Env {
	object := cel.MapType(cel.StringType, cel.DynType)
	env, err := cel.NewEnv(
		cel.Variable("subject", object),
		cel.Variable("resource", object),
		cel.Variable("action", object),
		cel.Variable("context", object),
		cel.Variable("now", cel.TimestampType),
		cel.ASTValidators(cel.ValidateTimestampLiterals(), cel.ValidateDurationLiterals()),
	)
	if err != nil {
		panic(err) // the declarations are constants
	}
	return env
}()

// CompileCondition parses and checks an expression. Its error shows where in the
// expression the fault is. The type must be bool, or dyn, which evaluation judges.
// Patterns and the keys of maps must be written out, and patterns be small.
func CompileCondition(source string) (_ *Condition, err error) {
	// Whoever writes an expression must not end the process by a fault of cel-go.
	defer func() {
		if fault := recover(); fault != nil {
			err = fmt.Errorf("cannot be compiled: %v", fault)
		}
	}()
	if len(source) > MaxCondition {
		return nil, fmt.Errorf("must be at most %d bytes long", MaxCondition)
	}
	ast, issues := environment.Parse(source)
	if issues.Err() != nil {
		return nil, issues.Err()
	}
	if issues = requireWritten(ast); issues.Err() != nil {
		return nil, issues.Err()
	}
	if ast, issues = environment.Check(ast); issues.Err() != nil {
		return nil, issues.Err()
	}
	if t := ast.OutputType(); !t.IsExactType(cel.BoolType) && !t.IsExactType(cel.DynType) {
		return nil, fmt.Errorf("must be a bool, not a %s", t)
	}
	program, err := environment.Program(ast, metering(chargesOf(ast.NativeRep().Expr())))
	if err != nil {
		return nil, fmt.Errorf("prepare: %w", err)
	}
	return &Condition{source: source, program: program}, nil
}

// String is the expression as it was written.
func (c *Condition) String() string { return c.source }

var errNotBool = errors.New("the condition did not come to a bool")

// holds evaluates a condition. An error means that it does not hold.
func (c *Condition) holds(e *evaluation) (bool, error) {
	if c.refused != nil {
		return false, c.refused
	}
	e.budget.left = min(conditionCost, e.total.left)
	e.total.left -= e.budget.left
	value, _, err := c.program.Eval(e)
	e.total.left += e.budget.left
	if err != nil {
		return false, err
	}
	result, ok := value.(types.Bool)
	if !ok {
		return false, errNotBool
	}
	return bool(result), nil
}

// evaluation is what a question's conditions see.
func (q *Question) evaluation(total *budget) *evaluation {
	place := q.target()
	return &evaluation{total: total, variables: map[string]any{
		"subject": map[string]any{
			"type": "user", "id": q.Subject.ID, "properties": orEmpty(q.Subject.Properties),
		},
		"resource": map[string]any{
			"type": place.Type, "id": place.ID, "properties": orEmpty(place.Properties),
		},
		"action":  map[string]any{"name": q.Permission, "properties": orEmpty(q.ActionProperties)},
		"context": orEmpty(q.Context),
		"now":     time.UnixMicro(q.NowMicros).UTC(),
	}}
}

// Merge returns stored properties overridden by a request's, key by key. It
// changes neither.
func Merge(stored, sent map[string]any) map[string]any {
	switch {
	case len(sent) == 0:
		return stored
	case len(stored) == 0:
		return sent
	}
	merged := maps.Clone(stored)
	maps.Copy(merged, sent)
	return merged
}

func orEmpty(m map[string]any) map[string]any {
	if m == nil {
		return map[string]any{}
	}
	return m
}
