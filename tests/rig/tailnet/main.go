// tailnet runs a coordination server and a DERP relay, both from the packages that tailscale.com keeps for its own tests, and the slice
// of the Tailscale API that stargate uses, over the same nodes: what is done through the API is seen by real tailscaled processes.
//
// It listens on one address of a network namespace: tailscaled speaks plain HTTP to a coordination server only at a private address.
// What the real service does and this one does not: an expired node key, MagicDNS, access rules by anything but prefixes, the
// removal of a deleted device from its peers' maps (they keep it, without routes), and a primary among routers of the same prefix.
package main

import (
	"crypto/tls"
	"flag"
	"log"
	"net"
	"net/http"
	"net/http/httptest"

	"tailscale.com/derp/derpserver"
	"tailscale.com/types/key"
	"tailscale.com/types/logger"
)

const derpPort = "3340"

func main() {
	address := flag.String("address", "192.168.99.1", "address to listen on, port 8080")
	client := flag.String("client", "", "OAuth client as ID:SECRET; the token endpoint refuses any other")
	apiKey := flag.String("api-key", "", "API key that may do everything")
	flag.Parse()
	if *client == "" || *apiKey == "" {
		log.Fatal("-client and -api-key are needed")
	}

	serveDERP(net.JoinHostPort(*address, derpPort))
	tailnet := newTailnet(*address)
	credentials := newCredentials(*client, *apiKey)
	counted := newCounters()

	mux := http.NewServeMux()
	mux.Handle("/api/v2/", counted.wrap(apiRoutes(tailnet, credentials)))
	mux.HandleFunc("GET /_counters", counted.serve)
	mux.HandleFunc("GET /_keys", tailnet.serveMintedKeys)
	// The server of testcontrol panics at any other path.
	for _, path := range []string{"/key", "/ts2021", "/generate_204", "/c2n/"} {
		mux.Handle(path, tailnet.control)
	}
	log.Printf("tailnet on http://%s:8080", *address)
	log.Fatal(http.ListenAndServe(net.JoinHostPort(*address, "8080"), mux))
}

// serveDERP starts the relay with a certificate that the DERP map tells its clients not to check.
func serveDERP(address string) {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		log.Fatal(err)
	}
	server := httptest.NewUnstartedServer(derpserver.Handler(derpserver.New(key.NewNode(), logger.Discard)))
	server.Listener.Close()
	server.Listener = listener
	server.Config.TLSNextProto = map[string]func(*http.Server, *tls.Conn, http.Handler){} // HTTP/2 cannot be hijacked
	server.StartTLS()
}
