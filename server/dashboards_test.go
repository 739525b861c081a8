package server_test

import (
	"encoding/json"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/promql/parser"
	"go.yaml.in/yaml/v3"
)

const (
	dashboardPath = "../deploy/grafana/gatehouse.json"
	alertsPath    = "../deploy/prometheus/alerts.yaml"
	runbookPath   = "../docs/runbook.md"
)

// leftOut are metrics that the dashboard does not show, and why.
var leftOut = map[string]string{}

// openLabels have values that come with what happens; those of all others are there from
// the start.
var openLabels = []string{"code", "version", "goversion"}

// scrapeLabels are Prometheus's own.
var scrapeLabels = []string{"job", "instance"}

// exposition is what a server shows, for expressions to be held to.
type exposition map[string]*dto.MetricFamily

// labelsOf returns the labels of a metric with their values; none where there is no such
// metric. Those of a histogram's parts are its own, and le.
func (e exposition) labelsOf(name string) map[string][]string {
	found := map[string][]string{"job": nil, "instance": nil}
	family := e[name]
	for _, part := range []string{"_bucket", "_sum", "_count"} {
		base, cut := strings.CutSuffix(name, part)
		if histogram := e[base]; cut && histogram.GetType() == dto.MetricType_HISTOGRAM {
			family = histogram
			if part == "_bucket" {
				found["le"] = nil
			}
		}
	}
	if name == "up" {
		return found
	}
	if family == nil {
		return nil
	}
	for _, m := range family.GetMetric() {
		for _, label := range m.GetLabel() {
			found[label.GetName()] = append(found[label.GetName()], label.GetValue())
		}
	}
	return found
}

// hold parses an expression, holds what it names to what there is, and returns the names
// of metrics and of labels in it.
func (e exposition) hold(t *testing.T, where, expression string) (metrics []string, known map[string][]string) {
	t.Helper()
	parsed, err := parser.NewParser(parser.Options{}).ParseExpr(expression)
	if err != nil {
		t.Errorf("%s: %q: %v", where, expression, err)
		return nil, nil
	}
	known = map[string][]string{}
	parser.Inspect(parsed, func(node parser.Node, _ []parser.Node) error {
		selector, ok := node.(*parser.VectorSelector)
		if !ok {
			return nil
		}
		there := e.labelsOf(selector.Name)
		if there == nil {
			t.Errorf("%s: %q: there is no %s", where, expression, selector.Name)
			return nil
		}
		metrics = append(metrics, selector.Name)
		maps.Copy(known, there)
		for _, matcher := range selector.LabelMatchers {
			if matcher.Name == model.MetricNameLabel || slices.Contains(scrapeLabels, matcher.Name) {
				continue
			}
			values, has := there[matcher.Name]
			if !has || !slices.Contains(openLabels, matcher.Name) && !slices.ContainsFunc(values, matcher.Matches) {
				t.Errorf("%s: %q: no series of %s has %s", where, expression, selector.Name, matcher)
			}
		}
		return nil
	})
	parser.Inspect(parsed, func(node parser.Node, _ []parser.Node) error {
		if aggregate, ok := node.(*parser.AggregateExpr); ok {
			for _, label := range aggregate.Grouping {
				if _, there := known[label]; !there {
					t.Errorf("%s: %q: nothing has the label %s", where, expression, label)
				}
			}
		}
		return nil
	})
	return metrics, known
}

func expose(t *testing.T) exposition {
	t.Helper()
	c := startService(t, onPostgreSQL(t)).caller(t)
	c.get("/api/roles")
	return c.metrics()
}

var legendLabel = regexp.MustCompile(`{{\s*(\w+)\s*}}`)

func TestDashboardShowsTheMetricsThatThereAre(t *testing.T) {
	t.Parallel()
	exposed := expose(t)
	content, err := os.ReadFile(dashboardPath)
	if err != nil {
		t.Fatal(err)
	}
	var dashboard struct {
		SchemaVersion int
		Templating    struct {
			List []struct{ Name, Type, Definition string }
		}
		Panels []struct {
			ID                       int
			Title, Type, Description string
			Targets                  []struct{ Expr, LegendFormat string }
		}
	}
	if err := json.Unmarshal(content, &dashboard); err != nil {
		t.Fatal(err)
	}
	variables := strings.NewReplacer("$__rate_interval", "5m", "$job", ".*", "$instance", ".*")
	shown, ids := map[string]bool{}, map[int]bool{}
	for _, panel := range dashboard.Panels {
		if ids[panel.ID] {
			t.Errorf("panel %q has the id of another", panel.Title)
		}
		ids[panel.ID] = true
		if panel.Type != "row" && (len(panel.Targets) == 0 || panel.Description == "") {
			t.Errorf("panel %q shows nothing, or does not say what", panel.Title)
		}
		for _, target := range panel.Targets {
			metrics, known := exposed.hold(t, "panel "+panel.Title, variables.Replace(target.Expr))
			for _, name := range metrics {
				shown[regexp.MustCompile("_(bucket|sum|count)$").ReplaceAllString(name, "")] = true
			}
			for _, label := range legendLabel.FindAllStringSubmatch(target.LegendFormat, -1) {
				if _, there := known[label[1]]; !there {
					t.Errorf("panel %q: the legend %q has a label that %q has not", panel.Title, target.LegendFormat, target.Expr)
				}
			}
		}
	}
	for name := range documented(t) {
		if why, left := leftOut[name]; shown[name] == left || left && why == "" {
			t.Errorf("%s: shown is %t, and left out is %t for %q", name, shown[name], left, why)
		}
	}
	for _, variable := range dashboard.Templating.List {
		if variable.Type == "query" && !strings.HasPrefix(variable.Definition, "label_values(gatehouse_build_info") {
			t.Errorf("variable %s: asks for %q", variable.Name, variable.Definition)
		}
	}
	if dashboard.SchemaVersion < 38 {
		t.Errorf("schema version: got %d, want that of Grafana 10 or newer", dashboard.SchemaVersion)
	}
}

func TestAlertsAreOnTheMetricsThatThereAre(t *testing.T) {
	t.Parallel()
	exposed := expose(t)
	runbook, err := os.ReadFile(runbookPath)
	if err != nil {
		t.Fatal(err)
	}
	chapters := map[string]bool{}
	for _, heading := range regexp.MustCompile(`(?m)^## (\w+)$`).FindAllStringSubmatch(string(runbook), -1) {
		chapters["docs/runbook.md#"+strings.ToLower(heading[1])] = false
	}
	content, err := os.ReadFile(alertsPath)
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Groups []struct {
			Rules []struct {
				Alert, Expr, For    string
				Labels, Annotations map[string]string
			}
		}
	}
	if err := yaml.Unmarshal(content, &file); err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, group := range file.Groups {
		for _, rule := range group.Rules {
			exposed.hold(t, "alert "+rule.Alert, rule.Expr)
			if names[rule.Alert] {
				t.Errorf("there are two alerts %s", rule.Alert)
			}
			names[rule.Alert] = true
			if severity := rule.Labels["severity"]; severity != "page" && severity != "ticket" {
				t.Errorf("alert %s: got severity %q, want page or ticket", rule.Alert, severity)
			}
			if rule.Annotations["summary"] == "" || rule.Annotations["description"] == "" {
				t.Errorf("alert %s: says not what it is", rule.Alert)
			}
			chapter := rule.Annotations["runbook_url"]
			if _, there := chapters[chapter]; !there {
				t.Errorf("alert %s: %s has no chapter for %q", rule.Alert, runbookPath, chapter)
			}
			chapters[chapter] = true
		}
	}
	if len(names) == 0 {
		t.Error("there are no alerts")
	}
	for chapter, used := range chapters {
		if !used {
			t.Errorf("%s: no alert leads to it", chapter)
		}
	}
}
