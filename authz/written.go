package authz

import (
	"errors"
	"fmt"
	"regexp/syntax"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/overloads"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/interpreter"
)

// Bounds of a pattern, the argument of matches.
const (
	// maxPattern is the longest, in bytes, and maxInstructions what one may compile to.
	maxPattern      = 256
	maxInstructions = 1000
)

// requireWritten reports what must be written out in an expression and is not, before
// its types are checked: patterns, for one that came with a request could take hours
// to match, and the keys of maps, for maps of maps of maps could take hours to check.
func requireWritten(parsed *cel.Ast) *cel.Issues {
	expression := parsed.NativeRep()
	issues := cel.NewIssuesWithSourceInfo(common.NewErrors(parsed.Source()), expression.SourceInfo())
	ast.PostOrderVisit(expression.Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		switch e.Kind() {
		case ast.CallKind:
			operands := operandsOf(e.AsCall())
			if e.AsCall().FunctionName() != overloads.Matches || len(operands) != 2 {
				return
			}
			if _, err := patternSize(operands[1]); err != nil {
				issues.ReportErrorAtID(operands[1].ID(), "pattern: %v", err)
			}
		case ast.MapKind:
			for _, entry := range e.AsMap().Entries() {
				if key := entry.AsMapEntry().Key(); key.Kind() != ast.LiteralKind {
					issues.ReportErrorAtID(key.ID(), "key: must be written out")
				}
			}
		}
	}))
	return issues
}

// patternSize is how many instructions a pattern compiles to.
func patternSize(e ast.Expr) (int, error) {
	literal, ok := types.String(""), false
	if e.Kind() == ast.LiteralKind {
		literal, ok = e.AsLiteral().(types.String)
	}
	if !ok {
		return 0, errors.New("must be written out as a string")
	}
	if len(literal) > maxPattern {
		return 0, fmt.Errorf("must be at most %d bytes long", maxPattern)
	}
	parsed, err := syntax.Parse(string(literal), syntax.Perl)
	if err != nil {
		return 0, err
	}
	// Without Simplify, repetitions do not compile.
	compiled, err := syntax.Compile(parsed.Simplify())
	if err != nil {
		return 0, err
	}
	if len(compiled.Inst) > maxInstructions {
		return 0, fmt.Errorf("compiles to %d instructions, and may to %d", len(compiled.Inst), maxInstructions)
	}
	return len(compiled.Inst), nil
}

// compiledPattern is a call of matches whose pattern is compiled once.
func compiledPattern(call interpreter.InterpretableCall) (interpreter.InterpretableCall, error) {
	if written, ok := call.Args()[1].(interpreter.InterpretableConst); ok {
		if pattern, ok := written.Value().(types.String); ok {
			return interpreter.MatchesRegexOptimization.Factory(call, string(pattern))
		}
	}
	return nil, errors.New("a pattern that is not written out")
}
