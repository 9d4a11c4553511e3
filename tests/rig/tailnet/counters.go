package main

import (
	"log"
	"maps"
	"net/http"
	"sync"
)

// counters counts the API's requests, so that a test can say "nothing was written".
type counters struct {
	mu       sync.Mutex
	byMethod map[string]int
	byRoute  map[string]int
	mutating int
}

func newCounters() *counters { return &counters{byMethod: map[string]int{}, byRoute: map[string]int{}} }

// wrap counts and logs each request once it is answered. Asking for a token is a POST that changes nothing.
func (c *counters) wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(w, r)
		log.Printf("%s %s", r.Method, r.URL.Path)
		c.mu.Lock()
		defer c.mu.Unlock()
		c.byMethod[r.Method]++
		c.byRoute[r.Pattern]++
		if r.Method != http.MethodGet && r.Pattern != "POST /api/v2/oauth/token" {
			c.mutating++
		}
	})
}

func (c *counters) serve(w http.ResponseWriter, _ *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	total := 0
	for _, n := range c.byMethod {
		total += n
	}
	reply(w, http.StatusOK, map[string]any{
		"total": total, "mutating": c.mutating, "by_method": maps.Clone(c.byMethod), "by_route": maps.Clone(c.byRoute),
	})
}
