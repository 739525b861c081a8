package authz

import (
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/overloads"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
	"cel.dev/cel-go/interpreter"
	"cel.dev/cel-go/parser"
)

// What conditions may cost, in units: one for each step, for each value that is
// compared or gone through, and for ten bytes of a text that is read. A unit is some
// 100 ns. All is paid for before it is done, so that nothing runs on beyond the end.
const (
	// conditionCost is what one condition may cost, and questionCost what all of a
	// question may together: one that costs too much does not take the others along.
	conditionCost = 100_000
	questionCost  = 3 * conditionCost
	// listCost is what all conditions for Policy.Permissions may cost together.
	listCost = 10 * conditionCost
	// zoneCost is for finding a time zone by its name, which reads a file.
	zoneCost = 500
)

// budget is what conditions may still cost.
type budget struct{ left uint64 }

// spend ends the evaluation under way where there is not enough left, as cel-go's own
// limit would: by a panic that its Eval turns into an error. An error value would not
// do, for a loop goes on past it.
func (b *budget) spend(units uint64) {
	if units > b.left {
		b.left = 0
		panic(interpreter.EvalCancelledError{Cause: interpreter.CostLimitExceeded, Message: "it costs more than it may"})
	}
	b.left -= units
}

// evaluation is what a condition sees: an interpreter.Activation that carries what
// the condition may still cost, under a name that no expression can spell.
type evaluation struct {
	variables map[string]any
	// budget is for the condition under way; total for it and those that follow.
	budget budget
	total  *budget
}

const budgetName = "\x00budget"

// ResolveName implements interpreter.Activation.
func (e *evaluation) ResolveName(name string) (any, bool) {
	if name == budgetName {
		return &e.budget, true
	}
	value, found := e.variables[name]
	return value, found
}

// Parent implements interpreter.Activation.
func (e *evaluation) Parent() interpreter.Activation { return nil }

// charge is what is paid for a value before what it is a part of works on it.
type charge func(*budget, ref.Val)

// charges are what is due for the values of an expression's parts, by their ids.
type charges struct {
	due map[int64][]charge
	// keys are the parts by whose values others are looked up.
	keys map[int64]bool
}

// chargesOf finds what is done in an expression with the value of each part.
func chargesOf(expression ast.Expr) charges {
	c := charges{due: map[int64][]charge{}, keys: map[int64]bool{}}
	ast.PostOrderVisit(expression, ast.NewExprVisitor(func(e ast.Expr) {
		switch e.Kind() {
		case ast.CallKind:
			c.call(e.AsCall())
		case ast.ComprehensionKind:
			c.add(e.AsComprehension().IterRange(), forItems)
		}
	}))
	return c
}

func (c charges) add(part ast.Expr, what charge) { c.due[part.ID()] = append(c.due[part.ID()], what) }

func (c charges) call(call ast.CallExpr) {
	operands := operandsOf(call)
	switch call.FunctionName() {
	case operators.Equals, operators.NotEquals:
		c.add(operands[0], forAll)
		c.add(operands[1], forAll)
	case operators.In, operators.OldIn:
		c.add(operands[0], forText)
		c.add(operands[1], forMember)
	case operators.Add:
		for _, operand := range operands {
			// A macro's own list grows in place.
			if operand.Kind() != ast.IdentKind || operand.AsIdent() != parser.HiddenAccumulatorName {
				c.add(operand, forCopy)
			}
		}
	case operators.Index:
		if operands[1].Kind() != ast.LiteralKind {
			c.add(operands[1], forText)
			c.keys[operands[1].ID()] = true
		}
	case overloads.Matches:
		if size, err := patternSize(operands[1]); err == nil { // requireWritten has refused others
			c.add(operands[0], forPattern(size))
		}
	default:
		if len(operands) == 2 && strings.HasPrefix(call.FunctionName(), "get") {
			c.add(operands[0], forZone) // getHours("Europe/Berlin") and the like
		}
		for _, operand := range operands {
			c.add(operand, forText)
		}
	}
}

// operandsOf lists a call's target, where there is one, and its arguments.
func operandsOf(call ast.CallExpr) []ast.Expr {
	if call.IsMemberFunction() {
		return append([]ast.Expr{call.Target()}, call.Args()...)
	}
	return call.Args()
}

// forText is for reading a text from end to end; other values cost nothing more.
func forText(b *budget, value ref.Val) {
	switch v := value.(type) {
	case types.String:
		b.spend(uint64(len(v) / 10))
	case types.Bytes:
		b.spend(uint64(len(v) / 10))
	}
}

// forItems is for going through a list or a map, but not into its items.
func forItems(b *budget, value ref.Val) {
	if sized, ok := value.(traits.Sizer); ok {
		size, _ := sized.Size().(types.Int)
		b.spend(uint64(size))
	}
}

// forCopy is for putting a value together with another. Lists are not copied then,
// but looked at through as many layers.
func forCopy(b *budget, value ref.Val) {
	switch value.(type) {
	case traits.Lister:
		forItems(b, value)
	default:
		forText(b, value)
	}
}

// forMember is for finding something in a value. A map need not be gone through.
func forMember(b *budget, value ref.Val) {
	if _, ok := value.(traits.Mapper); !ok {
		forAll(b, value)
	}
}

// forAll is for looking at all that is within a value, at any depth.
func forAll(b *budget, value ref.Val) {
	b.spend(1)
	switch v := value.(type) {
	case traits.Lister:
		forItems(b, value)
		for it := v.Iterator(); it.HasNext() == types.True; {
			forAll(b, it.Next())
		}
	case traits.Mapper:
		forItems(b, value)
		for it := v.Iterator(); it.HasNext() == types.True; {
			key := it.Next()
			forAll(b, key)
			forAll(b, v.Get(key))
		}
	default:
		forText(b, value)
	}
}

// forZone is for finding a time zone by its name.
func forZone(b *budget, _ ref.Val) { b.spend(zoneCost) }

// forPattern is for matching a text with a pattern of so many instructions: each byte
// of the one may meet each of the other.
func forPattern(size int) charge {
	return func(b *budget, value ref.Val) {
		text, _ := value.(types.String)
		b.spend(uint64((1 + len(text)) * size / 10))
	}
}

// metering makes the parts of a program pay.
func metering(c charges) cel.ProgramOption {
	return cel.CustomDecoratorV2(func(part interpreter.InterpretableV2) (interpreter.InterpretableV2, error) {
		due := c.due[part.ID()]
		if c.keys[part.ID()] {
			return &metered{part, due}, nil
		}
		switch p := part.(type) {
		case *meteredAttribute:
			// A qualifier has been added to it, and its id is that one's now.
			return &meteredAttribute{p.InterpretableAttribute, due}, nil
		case interpreter.InterpretableAttribute:
			return &meteredAttribute{p, due}, nil
		case interpreter.InterpretableConst:
			if len(due) == 0 {
				return part, nil
			}
		case interpreter.InterpretableConstructor:
			made := uint64(len(p.InitVals()))
			due = append([]charge{func(b *budget, _ ref.Val) { b.spend(made) }}, due...)
		case interpreter.InterpretableCall:
			if p.Function() == overloads.Matches {
				matching, err := compiledPattern(p)
				return &metered{matching, due}, err
			}
		}
		return &metered{part, due}, nil
	})
}

// metered is a part of a program that pays for itself and for what is done with its
// value.
type metered struct {
	interpreter.InterpretableV2
	due []charge
}

// Exec implements interpreter.InterpretableV2.
func (m *metered) Exec(frame *interpreter.ExecutionFrame) ref.Val {
	value := m.InterpretableV2.Exec(frame)
	pay(frame, m.due, value)
	return value
}

// Eval implements interpreter.Interpretable.
func (m *metered) Eval(vars interpreter.Activation) ref.Val { return m.Exec(interpreter.AsFrame(vars)) }

// meteredAttribute is a metered part that others add qualifiers to. Nothing can be
// looked up by it: cel-go would do that past Exec.
type meteredAttribute struct {
	interpreter.InterpretableAttribute
	due []charge
}

// Exec implements interpreter.InterpretableV2.
func (m *meteredAttribute) Exec(frame *interpreter.ExecutionFrame) ref.Val {
	value := m.InterpretableAttribute.Exec(frame)
	pay(frame, m.due, value)
	return value
}

// Eval implements interpreter.Interpretable.
func (m *meteredAttribute) Eval(vars interpreter.Activation) ref.Val {
	return m.Exec(interpreter.AsFrame(vars))
}

func pay(vars interpreter.Activation, due []charge, value ref.Val) {
	carried, _ := vars.ResolveName(budgetName)
	b := carried.(*budget)
	b.spend(1)
	if types.IsUnknownOrError(value) {
		return
	}
	for _, what := range due {
		what(b, value)
	}
}
