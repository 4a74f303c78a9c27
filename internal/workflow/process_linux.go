package workflow

import "syscall"

// ownGroup starts a program in a process group of its own, which ends when this
// process is killed.
func ownGroup(signal syscall.Signal) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: signal}
}
