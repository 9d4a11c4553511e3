// Command echo answers every request with its host name and the address that it saw, until it is told to stop.
// It also serves as the pause container of the rig's pods: it reaps what it inherits.
package main

import (
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	host, err := os.Hostname()
	if err != nil {
		log.Fatal(err)
	}
	// The pause container shares its network with the pod's own: whoever comes second only waits.
	if listener, err := net.Listen("tcp", ":8080"); err == nil {
		go func() { log.Fatal(http.Serve(listener, answer(host))) }()
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGCHLD)
	for received := range signals {
		if received != syscall.SIGCHLD {
			return
		}
		for pid := 1; pid > 0; pid, _ = syscall.Wait4(-1, nil, syscall.WNOHANG, nil) {
		}
	}
}

func answer(host string) http.HandlerFunc {
	return func(response http.ResponseWriter, request *http.Request) {
		seen, _, _ := net.SplitHostPort(request.RemoteAddr)
		_, _ = response.Write([]byte(host + " " + seen + "\n"))
	}
}
