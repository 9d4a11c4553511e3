package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"
	"unsafe"

	"tailscale.com/tailcfg"
	"tailscale.com/tstest/integration/testcontrol"
	"tailscale.com/types/key"
	"tailscale.com/types/logger"
)

const tailnetDomain = "rig.ts.net"

// tailnet is testcontrol's server with what that does not know: which keys were minted and spent, which device was deleted or is
// connected, and which routes were approved.
type tailnet struct {
	control *testcontrol.Server

	access access

	mu      sync.Mutex
	keys    map[string]*authKey // by id
	devices map[tailcfg.StableNodeID]*device
}

type device struct {
	created   time.Time
	lastSeen  time.Time
	streams   int // open map streams: connected if any
	hangUp    context.CancelFunc
	deleted   bool
	ephemeral bool
	noExpiry  bool
	approved  []netip.Prefix
	inForce   []netip.Prefix
}

func newTailnet(address string) *tailnet {
	t := &tailnet{
		access:  access{policy: everything},
		keys:    map[string]*authKey{},
		devices: map[tailcfg.StableNodeID]*device{},
		control: &testcontrol.Server{
			Logf: logger.Discard, AllNodesSameUser: true, AllOnline: true,
			MagicDNSDomain: tailnetDomain, ExplicitBaseURL: "http://" + address + ":8080",
			DERPMap: &tailcfg.DERPMap{Regions: map[int]*tailcfg.DERPRegion{1: {RegionID: 1, RegionCode: "rig",
				Nodes: []*tailcfg.DERPNode{{Name: "1", RegionID: 1, HostName: address, IPv4: address, IPv6: "none",
					STUNPort: -1, DERPPort: 3340, InsecureForTests: true}}}}},
		},
	}
	t.intercept()
	return t
}

// intercept puts our handlers before those of testcontrol, inside its encrypted connection. The multiplexer is not exported, and no
// hook of the package sees a registration's auth key, hence the look inside; the module's version is pinned.
func (t *tailnet) intercept() {
	t.control.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/generate_204", nil)) // makes the multiplexer
	field := reflect.ValueOf(t.control).Elem().FieldByName("mux")
	mux := *(**http.ServeMux)(unsafe.Pointer(field.UnsafeAddr()))
	machine, _ := mux.Handler(httptest.NewRequest("POST", "/machine/any", nil))
	mux.HandleFunc("/machine/register", func(w http.ResponseWriter, r *http.Request) { t.register(w, r, machine) })
	mux.HandleFunc("/machine/map", func(w http.ResponseWriter, r *http.Request) { t.poll(w, r, machine) })
	for _, unknown := range []string{"audit-log", "feature/query", "id-token", "set-device-attr", "set-dns", "webclient"} {
		mux.HandleFunc("/machine/"+unknown, http.NotFound)
	}
}

// peek decodes the request's body and leaves it readable for the handler behind.
func peek(r *http.Request, into any) error {
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil {
		return err
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	return json.Unmarshal(body, into)
}

// register lets known nodes pass and takes an auth key from others, as the real service does.
func (t *tailnet) register(w http.ResponseWriter, r *http.Request, next http.Handler) {
	var request tailcfg.RegisterRequest
	if err := peek(r, &request); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if t.known(request.NodeKey) || t.known(request.OldNodeKey) {
		next.ServeHTTP(w, r)
		return
	}
	if request.Followup != "" { // somebody would now log in with a browser; nobody does
		<-r.Context().Done()
		return
	}
	if request.Auth == nil || request.Auth.AuthKey == "" {
		reply(w, http.StatusOK, tailcfg.RegisterResponse{AuthURL: t.control.ExplicitBaseURL + "/a/" + random(12)})
		return
	}
	spent, err := t.spend(request.Auth.AuthKey, request.Hostinfo)
	if err != nil {
		log.Printf("register %s: %v", request.Hostinfo.Hostname, err)
		reply(w, http.StatusOK, tailcfg.RegisterResponse{Error: err.Error()})
		return
	}
	next.ServeHTTP(w, r) // its answer is short: it leaves when this handler returns, so the node is complete before it asks for its map
	t.adopt(request.NodeKey, spent)
}

// adopt makes a node of testcontrol a device of the tailnet: tags of its key, a name of its own.
func (t *tailnet) adopt(nodeKey key.NodePublic, spent *authKey) {
	node := t.control.Node(nodeKey)
	node.Tags = spent.tags()
	node.Name = t.freeName(node)
	t.control.UpdateNode(node)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.devices[node.StableID] = &device{created: now(), lastSeen: now(), ephemeral: spent.create().Ephemeral, noExpiry: len(node.Tags) > 0}
	spent.nodes = append(spent.nodes, string(node.StableID))
	log.Printf("register %s as %s with key %s", node.Name, node.StableID, spent.ID)
}

// freeName is the node's host name, with a number if another device has it.
func (t *tailnet) freeName(node *tailcfg.Node) string {
	taken := map[string]bool{}
	for _, other := range t.live() {
		if other.StableID != node.StableID {
			taken[other.Name] = true
		}
	}
	host := strings.ToLower(node.Hostinfo.Hostname())
	name := fmt.Sprintf("%s.%s.", host, tailnetDomain)
	for n := 1; taken[name]; n++ {
		name = fmt.Sprintf("%s-%d.%s.", host, n, tailnetDomain)
	}
	return name
}

// poll keeps the record of who is connected, and puts approved routes in force once they are advertised.
func (t *tailnet) poll(w http.ResponseWriter, r *http.Request, next http.Handler) {
	var request tailcfg.MapRequest
	if err := peek(r, &request); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	node := t.control.Node(request.NodeKey)
	if node == nil || !t.known(request.NodeKey) {
		http.Error(w, "node not found", http.StatusNotFound)
		return
	}
	if request.Stream {
		ctx, cancel := context.WithCancel(r.Context())
		defer cancel()
		t.connected(node.StableID, cancel)
		defer t.disconnected(node.StableID)
		next.ServeHTTP(w, r.WithContext(ctx))
		return
	}
	next.ServeHTTP(w, r)
	t.enforce(request.NodeKey)
}

func (t *tailnet) connected(id tailcfg.StableNodeID, hangUp context.CancelFunc) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.devices[id].streams++
	t.devices[id].hangUp = hangUp
}

func (t *tailnet) disconnected(id tailcfg.StableNodeID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.devices[id].streams--
	t.devices[id].lastSeen = now()
}

// enforce serves what is both advertised and approved.
func (t *tailnet) enforce(nodeKey key.NodePublic) {
	node := t.control.Node(nodeKey)
	t.mu.Lock()
	d := t.devices[node.StableID]
	var routes []netip.Prefix
	for _, advertised := range node.Hostinfo.RoutableIPs().AsSlice() {
		if !d.deleted && slices.Contains(d.approved, advertised) {
			routes = append(routes, advertised)
		}
	}
	changed := !slices.Equal(routes, d.inForce)
	d.inForce = routes
	t.mu.Unlock()
	if changed {
		t.control.SetSubnetRoutes(nodeKey, routes)
	}
}

func (t *tailnet) approve(node *tailcfg.Node, routes []netip.Prefix) {
	t.mu.Lock()
	t.devices[node.StableID].approved = routes
	t.mu.Unlock()
	t.enforce(node.Key)
}

// remove deletes the device: it is cut off and must register anew.
func (t *tailnet) remove(node *tailcfg.Node) {
	t.mu.Lock()
	d := t.devices[node.StableID]
	d.deleted = true
	if d.hangUp != nil {
		d.hangUp()
	}
	t.mu.Unlock()
	t.enforce(node.Key)
}

// known says whether the key is that of a device that was not deleted.
func (t *tailnet) known(nodeKey key.NodePublic) bool {
	node := t.control.Node(nodeKey)
	if node == nil {
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	d := t.devices[node.StableID]
	return d != nil && !d.deleted
}

// live lists the nodes that were not deleted.
func (t *tailnet) live() []*tailcfg.Node {
	return slices.DeleteFunc(t.control.AllNodes(), func(n *tailcfg.Node) bool { return !t.known(n.Key) })
}

// find gives the device with this node id, or this legacy id.
func (t *tailnet) find(id string) *tailcfg.Node {
	for _, node := range t.live() {
		if string(node.StableID) == id || legacyID(node) == id {
			return node
		}
	}
	return nil
}

func legacyID(node *tailcfg.Node) string { return fmt.Sprint(int64(node.ID)) }

func now() time.Time { return time.Now().UTC() }
