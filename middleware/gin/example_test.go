package gatehousegin_test

import (
	"context"
	"fmt"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"

	"github.com/gin-gonic/gin"

	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/middleware"
	gatehousegin "github.com/gatehouse/gatehouse/middleware/gin"
)

func Example() {
	folder, err := os.MkdirTemp("", "gatehouse")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(folder)
	e, err := engine.Open(context.Background(), engine.Config{
		Database: filepath.Join(folder, "gatehouse.sqlite3"), Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		log.Fatal(err)
	}
	defer e.Close()
	tenant := e.Tenant("notes") // an sdk.Client would do as well
	gate, err := middleware.New(middleware.Config{Sessions: tenant, Checker: tenant})
	if err != nil {
		log.Fatal(err)
	}

	gin.SetMode(gin.ReleaseMode)
	app := gin.New()
	app.Use(gatehousegin.Handler(gate))
	app.GET("/notes", gatehousegin.Require(gate, "note:read", nil), func(c *gin.Context) {
		user, _ := gatehousegin.CurrentUser(c)
		c.String(http.StatusOK, user+"'s notes")
	})

	w := httptest.NewRecorder()
	app.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/notes", nil))
	fmt.Println(w.Code, w.Header().Get("X-Content-Type-Options"))
	// Output: 401 nosniff
}
