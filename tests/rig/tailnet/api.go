package main

import (
	"context"
	"encoding/json"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"tailscale.com/tailcfg"
)

// tokenLife is how long an access token lives, as the real service's does.
const tokenLife = time.Hour

func reply(w http.ResponseWriter, code int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	json.NewEncoder(w).Encode(body)
}

func refuse(w http.ResponseWriter, code int, message string) {
	reply(w, code, map[string]string{"message": message})
}

// apiRoutes is the slice of the API, behind its credentials.
func apiRoutes(t *tailnet, c *credentials) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /api/v2/oauth/token", c.serveToken)
	guarded := func(pattern string, handler http.HandlerFunc) { mux.Handle(pattern, c.guard(handler)) }
	guarded("GET /api/v2/tailnet/{tailnet}/keys", t.serveKeys)
	guarded("POST /api/v2/tailnet/{tailnet}/keys", t.serveMintKey)
	guarded("GET /api/v2/tailnet/{tailnet}/keys/{key}", t.serveKey)
	guarded("DELETE /api/v2/tailnet/{tailnet}/keys/{key}", t.serveRevokeKey)
	guarded("GET /api/v2/tailnet/{tailnet}/devices", t.serveDevices)
	guarded("GET /api/v2/tailnet/{tailnet}/acl", t.serveAccess)
	guarded("POST /api/v2/tailnet/{tailnet}/acl", t.serveSetAccess)
	guarded("GET /api/v2/device/{device}", t.withDevice(t.serveDevice))
	guarded("DELETE /api/v2/device/{device}", t.withDevice(t.serveDeleteDevice))
	guarded("GET /api/v2/device/{device}/routes", t.withDevice(t.serveRoutes))
	guarded("POST /api/v2/device/{device}/routes", t.withDevice(t.serveApproveRoutes))
	guarded("POST /api/v2/device/{device}/tags", t.withDevice(t.serveSetTags))
	guarded("POST /api/v2/device/{device}/key", t.withDevice(t.serveSetKeyExpiry))
	mux.HandleFunc("/api/v2/", func(w http.ResponseWriter, _ *http.Request) { refuse(w, http.StatusNotFound, "not found") })
	return mux
}

type credentials struct {
	id, secret, apiKey string

	mu     sync.Mutex
	tokens map[string]time.Time // until when
}

func newCredentials(client, apiKey string) *credentials {
	id, secret, _ := strings.Cut(client, ":")
	return &credentials{id: id, secret: secret, apiKey: apiKey, tokens: map[string]time.Time{}}
}

// serveToken gives a token for the client's id and secret, as HTTP Basic or in the form.
func (c *credentials) serveToken(w http.ResponseWriter, r *http.Request) {
	id, secret, basic := r.BasicAuth()
	if !basic {
		id, secret = r.PostFormValue("client_id"), r.PostFormValue("client_secret")
	}
	if id != c.id || secret != c.secret {
		reply(w, http.StatusUnauthorized, map[string]string{"error": "invalid_client", "message": "API token invalid"})
		return
	}
	if grant := r.PostFormValue("grant_type"); grant != "" && grant != "client_credentials" {
		reply(w, http.StatusBadRequest, map[string]string{"error": "unsupported_grant_type", "message": "unsupported grant_type " + grant})
		return
	}
	token := "tskey-api-" + random(32)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tokens[token] = now().Add(tokenLife)
	reply(w, http.StatusOK, map[string]any{"access_token": token, "token_type": "Bearer", "expires_in": int(tokenLife.Seconds()), "scope": "all"})
}

type clientKey struct{}

// byClient says whether the request carries an OAuth client's token rather than an API key.
func byClient(r *http.Request) bool { return r.Context().Value(clientKey{}) != nil }

// guard lets a request pass with a token that lives, or the API key: as a bearer, or as the user name of HTTP Basic.
func (c *credentials) guard(next http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, bearer := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if !bearer {
			token, _, _ = r.BasicAuth()
		}
		c.mu.Lock()
		live := now().Before(c.tokens[token])
		c.mu.Unlock()
		switch {
		case live:
			next(w, r.WithContext(context.WithValue(r.Context(), clientKey{}, true)))
		case token == c.apiKey:
			next(w, r)
		default:
			refuse(w, http.StatusUnauthorized, "API token invalid")
		}
	})
}

func (t *tailnet) withDevice(next func(http.ResponseWriter, *http.Request, *tailcfg.Node)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		node := t.find(r.PathValue("device"))
		if node == nil {
			refuse(w, http.StatusNotFound, "no manageable device matching provided ID found")
			return
		}
		next(w, r, node)
	}
}

// serveDevices lists the devices, narrowed by `hostname` and `tags` if the query has them.
func (t *tailnet) serveDevices(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	out := []any{}
	for _, node := range t.live() {
		if hostname := query.Get("hostname"); hostname != "" && node.Hostinfo.Hostname() != hostname {
			continue
		}
		if slices.ContainsFunc(query["tags"], func(tag string) bool { return !slices.Contains(node.Tags, tag) }) {
			continue
		}
		out = append(out, t.show(node, query.Get("fields") == "all"))
	}
	reply(w, http.StatusOK, map[string]any{"devices": out})
}

func (t *tailnet) serveDevice(w http.ResponseWriter, r *http.Request, node *tailcfg.Node) {
	reply(w, http.StatusOK, t.show(node, r.URL.Query().Get("fields") == "all"))
}

func (t *tailnet) serveDeleteDevice(w http.ResponseWriter, _ *http.Request, node *tailcfg.Node) {
	t.remove(node)
	w.WriteHeader(http.StatusOK)
}

func (t *tailnet) serveRoutes(w http.ResponseWriter, _ *http.Request, node *tailcfg.Node) {
	reply(w, http.StatusOK, t.routes(node))
}

// serveApproveRoutes replaces the whole list of approved routes; one that is not advertised yet may be among them.
func (t *tailnet) serveApproveRoutes(w http.ResponseWriter, r *http.Request, node *tailcfg.Node) {
	var in struct{ Routes []netip.Prefix }
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	t.approve(node, in.Routes)
	reply(w, http.StatusOK, t.routes(node))
}

func (t *tailnet) serveSetTags(w http.ResponseWriter, r *http.Request, node *tailcfg.Node) {
	var in struct{ Tags []string }
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	node.Tags = in.Tags
	t.control.UpdateNode(node)
	w.WriteHeader(http.StatusOK)
}

func (t *tailnet) serveSetKeyExpiry(w http.ResponseWriter, r *http.Request, node *tailcfg.Node) {
	var in struct{ KeyExpiryDisabled bool }
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.devices[node.StableID].noExpiry = in.KeyExpiryDisabled
	w.WriteHeader(http.StatusOK)
}

func (t *tailnet) routes(node *tailcfg.Node) map[string]any {
	t.mu.Lock()
	defer t.mu.Unlock()
	return map[string]any{
		"advertisedRoutes": append([]netip.Prefix{}, node.Hostinfo.RoutableIPs().AsSlice()...),
		"enabledRoutes":    append([]netip.Prefix{}, t.devices[node.StableID].approved...),
	}
}

// show is the device as the API shows it.
func (t *tailnet) show(node *tailcfg.Node, all bool) map[string]any {
	addresses := []string{}
	for _, a := range node.Addresses {
		addresses = append(addresses, a.Addr().String())
	}
	t.mu.Lock()
	d := *t.devices[node.StableID]
	t.mu.Unlock()
	out := map[string]any{
		"id": legacyID(node), "nodeId": node.StableID, "name": strings.TrimSuffix(node.Name, "."), "hostname": node.Hostinfo.Hostname(),
		"addresses": addresses, "os": node.Hostinfo.OS(), "user": "rig@example.com", "clientVersion": node.Hostinfo.IPNVersion(),
		"nodeKey": node.Key.String(), "machineKey": node.Machine.String(), "created": d.created, "authorized": true,
		"keyExpiryDisabled": d.noExpiry, "isExternal": false, "isEphemeral": d.ephemeral, "connectedToControl": d.streams > 0,
	}
	if d.streams == 0 {
		out["lastSeen"] = d.lastSeen
	}
	if len(node.Tags) > 0 {
		out["tags"] = node.Tags
	}
	if all {
		for name, value := range t.routes(node) {
			out[name] = value
		}
	}
	return out
}
