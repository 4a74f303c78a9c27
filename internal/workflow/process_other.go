//go:build !linux

package workflow

import "syscall"

// ownGroup starts a program in a process group of its own.
func ownGroup(syscall.Signal) *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
