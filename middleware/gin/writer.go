package gatehousegin

import (
	"bufio"
	"net"
	"net/http"

	"github.com/gin-gonic/gin"
)

// writer is Gin's, whose WriteHeader only notes the status: it tells the middleware
// that it is in when the headers are really about to be written.
type writer struct {
	gin.ResponseWriter
	// within is the middleware's writer around the one above.
	within http.ResponseWriter
}

func (w *writer) begin() {
	if !w.Written() {
		w.within.WriteHeader(w.Status())
	}
}

func (w *writer) WriteHeaderNow() { w.begin(); w.ResponseWriter.WriteHeaderNow() }

func (w *writer) Write(data []byte) (int, error) { w.begin(); return w.ResponseWriter.Write(data) }

func (w *writer) WriteString(s string) (int, error) {
	w.begin()
	return w.ResponseWriter.WriteString(s)
}

func (w *writer) Flush() { w.begin(); w.ResponseWriter.Flush() }

func (w *writer) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return http.NewResponseController(w.within).Hijack()
}

// Unwrap is for http.ResponseController.
func (w *writer) Unwrap() http.ResponseWriter { return w.ResponseWriter }
