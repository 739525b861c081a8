package internal_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// testIndex finds tests by their names, in the module's source. It is safe for use by
// many goroutines.
type testIndex struct {
	root string

	mu       sync.Mutex
	packages map[string]testPackage // by their path below the module
}

// testPackage is what a directory declares: functions and, under the same name, the
// methods of any type.
type testPackage map[string][]declaration

type declaration struct {
	*ast.FuncDecl
	// test tells that it is in a file of tests.
	test bool
	// imports are the packages of the module that its file knows, by name.
	imports map[string]string
}

func newTestIndex(root string) *testIndex {
	return &testIndex{root: root, packages: map[string]testPackage{}}
}

var testName = regexp.MustCompile(`^([a-z0-9_/]+)\.((?:Test|Fuzz)\w+)((?:/[^/]+)*)$`)

// find fails unless the module has a test of that name: a package's path, a dot, and
// the name as "go test -run" takes it, down to subtests.
func (x *testIndex) find(name string) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	match := testName.FindStringSubmatch(name)
	if match == nil {
		return fmt.Errorf("%q is not the name of a test: package/path.TestName/subtest", name)
	}
	declared, err := x.load(match[1])
	if err != nil {
		return err
	}
	i := slices.IndexFunc(declared[match[2]], func(d declaration) bool { return d.test && d.Recv == nil })
	if i < 0 {
		return fmt.Errorf("%s: no such test", name)
	}
	if match[3] == "" {
		return nil
	}
	subtests := map[string]bool{}
	x.subtests(match[1], declared[match[2]][i], subtests, map[*ast.FuncDecl]bool{})
	for _, subtest := range strings.Split(match[3][1:], "/") {
		if !subtests[subtest] {
			return fmt.Errorf("%s: no such subtest as %s", name, subtest)
		}
	}
	return nil
}

// subtests gathers the names of a test's subtests: what is given to Run, the keys of
// maps, and the first fields of lists. Those of the functions that it calls count too,
// in its own package and in those below internal, where suites are that packages share.
func (x *testIndex) subtests(in string, d declaration, names map[string]bool, seen map[*ast.FuncDecl]bool) {
	if seen[d.FuncDecl] {
		return
	}
	seen[d.FuncDecl] = true
	name := func(e ast.Expr) {
		if literal, ok := e.(*ast.BasicLit); ok && literal.Kind == token.STRING {
			if text, err := strconv.Unquote(literal.Value); err == nil {
				names[strings.ReplaceAll(text, " ", "_")] = true
			}
		}
	}
	follow := func(in, called string) {
		declared, err := x.load(in)
		if err != nil {
			return // not a package of tests or suites
		}
		for _, d := range declared[called] {
			x.subtests(in, d, names, seen)
		}
	}
	ast.Inspect(d.FuncDecl, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.CompositeLit:
			for _, element := range n.Elts {
				switch element := element.(type) {
				case *ast.KeyValueExpr:
					name(element.Key)
				case *ast.CompositeLit:
					if len(element.Elts) > 0 {
						name(element.Elts[0])
					}
				}
			}
		case *ast.CallExpr:
			switch called := n.Fun.(type) {
			case *ast.Ident:
				follow(in, called.Name)
			case *ast.SelectorExpr:
				if called.Sel.Name == "Run" && len(n.Args) == 2 {
					name(n.Args[0])
				}
				target := in
				if of, ok := called.X.(*ast.Ident); ok && d.imports[of.Name] != "" {
					target = d.imports[of.Name]
				}
				if target == in || strings.HasPrefix(target, "internal/") {
					follow(target, called.Sel.Name)
				}
			}
		}
		return true
	})
}

// load reads a package's source.
func (x *testIndex) load(in string) (testPackage, error) {
	if declared, ok := x.packages[in]; ok {
		return declared, nil
	}
	files, err := filepath.Glob(filepath.Join(x.root, filepath.FromSlash(in), "*.go"))
	if err != nil || len(files) == 0 {
		return nil, fmt.Errorf("no tests in %s, nor anything else", in)
	}
	declared := testPackage{}
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		imports := map[string]string{}
		for _, spec := range file.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if own, found := strings.CutPrefix(imported, module+"/"); err == nil && found {
				imports[path.Base(own)] = own
				if spec.Name != nil {
					imports[spec.Name.Name] = own
				}
			}
		}
		for _, d := range file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok {
				declared[f.Name.Name] = append(declared[f.Name.Name], declaration{f, strings.HasSuffix(name, "_test.go"), imports})
			}
		}
	}
	x.packages[in] = declared
	return declared, nil
}
