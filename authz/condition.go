package authz

import (
	"errors"
	"fmt"
	"maps"
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
)

// Bounds of a condition.
const (
	// MaxCondition is the longest expression, in bytes.
	MaxCondition = 4096
	// conditionCost ends an evaluation that loops or allocates, in the units of
	// CEL's cost model: about one per step or byte looked at.
	conditionCost = 100_000
)

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
	)
	if err != nil {
		panic(err) // the declarations are constants
	}
	return env
}()

// CompileCondition parses and checks an expression. Its error shows where in the
// expression the fault is. The type must be bool, or dyn, which evaluation judges.
func CompileCondition(source string) (*Condition, error) {
	if len(source) > MaxCondition {
		return nil, fmt.Errorf("must be at most %d bytes long", MaxCondition)
	}
	ast, issues := environment.Compile(source)
	if issues.Err() != nil {
		return nil, issues.Err()
	}
	if t := ast.OutputType(); !t.IsExactType(cel.BoolType) && !t.IsExactType(cel.DynType) {
		return nil, fmt.Errorf("must be a bool, not a %s", t)
	}
	program, err := environment.Program(ast, cel.CostLimit(conditionCost), cel.CostTracking(deepCost{}), cel.EvalOptions(cel.OptOptimize))
	if err != nil {
		return nil, fmt.Errorf("prepare: %w", err)
	}
	return &Condition{source: source, program: program}, nil
}

// deepCost charges a comparison for all that it looks at. CEL's own model counts
// the elements of the outermost list or map alone, so that comparing deep ones again
// and again would cost next to nothing.
type deepCost struct{}

// CallCost implements interpreter.ActualCostEstimator.
func (deepCost) CallCost(function, _ string, args []ref.Val, _ ref.Val) *uint64 {
	switch function {
	case operators.Equals, operators.NotEquals, operators.In, operators.OldIn:
	default:
		return nil
	}
	cost := uint64(1)
	for _, arg := range args {
		cost += deepSize(arg)
	}
	return &cost
}

// deepSize counts the values within a value, and the bytes of its texts by tens.
func deepSize(value any) uint64 {
	size := uint64(1)
	switch v := value.(type) {
	case string:
		size += uint64(len(v) / 10)
	case []any:
		for _, element := range v {
			size += deepSize(element)
		}
	case map[string]any:
		for key, element := range v {
			size += deepSize(key) + deepSize(element)
		}
	case traits.Lister:
		for it := v.Iterator(); it.HasNext() == types.True; {
			size += deepSize(it.Next())
		}
	case traits.Mapper:
		for it := v.Iterator(); it.HasNext() == types.True; {
			key := it.Next()
			size += deepSize(key) + deepSize(v.Get(key))
		}
	case types.String:
		size += uint64(len(v) / 10)
	}
	return size
}

// String is the expression as it was written.
func (c *Condition) String() string { return c.source }

var errNotBool = errors.New("the condition did not come to a bool")

// holds evaluates a condition. An error means that it does not hold.
func (c *Condition) holds(activation map[string]any) (bool, error) {
	value, _, err := c.program.Eval(activation)
	if err != nil {
		return false, err
	}
	result, ok := value.(types.Bool)
	if !ok {
		return false, errNotBool
	}
	return bool(result), nil
}

// activation is what a question's conditions see.
func (q *Question) activation() map[string]any {
	place := q.target()
	return map[string]any{
		"subject": map[string]any{
			"type": "user", "id": q.Subject.ID, "properties": orEmpty(q.Subject.Properties),
		},
		"resource": map[string]any{
			"type": place.Type, "id": place.ID, "properties": orEmpty(place.Properties),
		},
		"action":  map[string]any{"name": q.Permission, "properties": orEmpty(q.ActionProperties)},
		"context": orEmpty(q.Context),
		"now":     time.UnixMicro(q.NowMicros).UTC(),
	}
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
