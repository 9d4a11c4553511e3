// Command tunnel is the API server's way to kubelets: it listens on a unix socket, which the API server shares with it, and connects
// from the network namespace that it runs in. On AKS that is Konnectivity: an agent on a node, and a server beside the API server.
package main

import (
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"time"
)

func main() {
	listener, err := net.Listen("unix", os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	log.Fatal(http.Serve(listener, http.HandlerFunc(connect)))
}

func connect(response http.ResponseWriter, request *http.Request) {
	if request.Method != http.MethodConnect {
		http.Error(response, "only CONNECT", http.StatusMethodNotAllowed)
		return
	}
	// Not Host: there the API server names itself.
	far, err := net.DialTimeout("tcp", request.RequestURI, 10*time.Second)
	if err != nil {
		http.Error(response, err.Error(), http.StatusBadGateway)
		return
	}
	near, _, err := response.(http.Hijacker).Hijack()
	if err != nil {
		log.Fatal(err)
	}
	if _, err := near.Write([]byte("HTTP/1.1 200 Connection established\r\n\r\n")); err == nil {
		go pass(far, near)
		pass(near, far)
	}
}

// Whoever ends first ends both.
func pass(to, from net.Conn) {
	_, _ = io.Copy(to, from)
	_ = to.Close()
	_ = from.Close()
}
