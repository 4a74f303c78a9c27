// Command prober is what runs in the containers of docker_test.go: it says what
// reached it.
package main

import (
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"syscall"

	"golang.org/x/term"
)

func main() {
	fmt.Println("on", runtime.GOARCH)
	if len(os.Args) < 2 {
		return
	}
	switch os.Args[1] {
	case "args":
		for _, a := range os.Args[2:] {
			fmt.Printf("[%s]\n", a)
		}
	case "env":
		for _, name := range os.Args[2:] {
			fmt.Printf("%s=%s\n", name, os.Getenv(name))
		}
	case "exit":
		n, _ := strconv.Atoi(os.Args[2])
		os.Exit(n)
	case "cat":
		_, _ = io.Copy(os.Stdout, os.Stdin)
	case "tty":
		fmt.Println("terminal", term.IsTerminal(0))
	case "write":
		fmt.Println("error", os.WriteFile(os.Args[2], []byte("written"), 0o644))
	case "wait": // 40 and the number of the signal that ends it
		c := make(chan os.Signal, 1)
		signal.Notify(c, syscall.SIGINT, syscall.SIGTERM)
		fmt.Println("ready")
		s := <-c
		fmt.Println("got", s)
		os.Exit(40 + int(s.(syscall.Signal)))
	}
}
