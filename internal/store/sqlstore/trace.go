package sqlstore

import (
	"context"
	"errors"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

// tracer makes a span of each statement that PostgreSQL runs for a request that is
// traced. A span has the query's name and, where it failed, the SQLSTATE: what the
// statement and the server's message say may hold names, and arguments are names.
type tracer struct{ trace.Tracer }

var (
	_ pgx.QueryTracer = tracer{}
	_ pgx.BatchTracer = tracer{}
)

// tracer makes spans of PostgreSQL's statements; nil where none are wanted.
func (c Config) tracer() pgx.QueryTracer {
	if c.TracerProvider == nil {
		return nil
	}
	return tracer{c.TracerProvider.Tracer("github.com/gatehouse/gatehouse/internal/store/sqlstore")}
}

// TraceQueryStart implements pgx.QueryTracer.
func (t tracer) TraceQueryStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	name := queryName(data.SQL)
	return t.start(ctx, name, attribute.String("db.operation.name", name))
}

// TraceQueryEnd implements pgx.QueryTracer.
func (t tracer) TraceQueryEnd(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryEndData) {
	endSpan(ctx, data.Err)
}

// TraceBatchStart implements pgx.BatchTracer.
func (t tracer) TraceBatchStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceBatchStartData) context.Context {
	return t.start(ctx, "batch", attribute.Int("db.operation.batch.size", data.Batch.Len()))
}

// TraceBatchQuery implements pgx.BatchTracer.
func (t tracer) TraceBatchQuery(context.Context, *pgx.Conn, pgx.TraceBatchQueryData) {}

// TraceBatchEnd implements pgx.BatchTracer.
func (t tracer) TraceBatchEnd(ctx context.Context, _ *pgx.Conn, data pgx.TraceBatchEndData) {
	endSpan(ctx, data.Err)
}

// statementKey leads to the span of a statement: that of the request must not be ended
// with it.
type statementKey struct{}

// start begins a span where ctx is in one. What goes on in the background is in none.
func (t tracer) start(ctx context.Context, name string, about attribute.KeyValue) context.Context {
	if !trace.SpanFromContext(ctx).IsRecording() {
		return ctx
	}
	ctx, span := t.Start(ctx, name, trace.WithSpanKind(trace.SpanKindClient),
		trace.WithAttributes(attribute.String("db.system.name", "postgresql"), about))
	return context.WithValue(ctx, statementKey{}, span)
}

func endSpan(ctx context.Context, err error) {
	span, ok := ctx.Value(statementKey{}).(trace.Span)
	if !ok {
		return
	}
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		span.SetStatus(codes.Error, "")
		if reported, ok := errors.AsType[*pgconn.PgError](err); ok {
			span.SetAttributes(attribute.String("db.response.status_code", reported.Code))
		}
	}
	span.End()
}

// queryName is the name that sqlc gave a query, or the first word of another statement.
func queryName(sql string) string {
	if named, ok := strings.CutPrefix(sql, "-- name: "); ok {
		sql = named
	}
	word, _, _ := strings.Cut(sql, " ")
	return strings.TrimRight(word, ";")
}
