// Command echo answers every request with a line of its host name, the address that it saw and the bytes that it was sent, and with a
// mebibyte of nothing, until it is told to stop: an answer that fits into no packet.
// It also serves as the pause container of the rig's pods: it reaps what it inherits.
//
// The image has nothing else, so it is what is run in a pod, too:
//
//	echo get URL [FILE]   prints the line that is answered, and keeps it in FILE, if the mebibyte behind it came too
//	echo copy [FILE]      prints what it reads, and keeps it in FILE
//	echo has FILE         ends well if there is such a file
package main

import (
	"bufio"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

func main() {
	if len(os.Args) == 1 {
		serve()
	} else if err := run(os.Args[1], os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(verb string, arguments []string) error {
	switch {
	case verb == "get" && len(arguments) > 0:
		return get(arguments[0], arguments[1:])
	case verb == "copy":
		return keep(os.Stdin, arguments)
	case verb == "has" && len(arguments) == 1:
		_, err := os.Stat(arguments[0])
		return err
	}
	return fmt.Errorf("usage: echo get URL [FILE] | echo copy [FILE] | echo has FILE")
}

func get(url string, files []string) error {
	client := http.Client{Timeout: 5 * time.Second}
	response, err := client.Get(url)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body := bufio.NewReader(response.Body)
	line, err := body.ReadString('\n')
	if err != nil {
		return err
	}
	if behind, err := io.Copy(io.Discard, body); err != nil || behind != mebibyte {
		return fmt.Errorf("%d bytes came behind the line, not %d: %v", behind, mebibyte, err)
	}
	return keep(strings.NewReader(line), files)
}

func keep(source io.Reader, files []string) error {
	content, err := io.ReadAll(source)
	if err != nil {
		return err
	}
	for _, file := range files {
		if err := os.WriteFile(file, content, 0o644); err != nil {
			return err
		}
	}
	_, err = os.Stdout.Write(content)
	return err
}

func serve() {
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

const mebibyte = 1 << 20

func answer(host string) http.HandlerFunc {
	return func(response http.ResponseWriter, request *http.Request) {
		seen, _, _ := net.SplitHostPort(request.RemoteAddr)
		sent, err := io.Copy(io.Discard, request.Body)
		if err != nil {
			return
		}
		_, _ = fmt.Fprintf(response, "%s %s %d\n", host, seen, sent)
		_, _ = response.Write(make([]byte, mebibyte))
	}
}
