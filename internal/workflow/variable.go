package workflow

import "strings"

// HostLabel is the runs-on of a job that runs on the machine of jetcrate itself.
const HostLabel = "host"

// refusedVariable says why a step's env cannot have a variable; "" if it can.
func refusedVariable(name string) string {
	upper := strings.ToUpper(name)
	for _, prefix := range []string{"GITHUB_", "RUNNER_"} {
		if strings.HasPrefix(upper, prefix) && upper != "GITHUB_TOKEN" {
			return "variables that begin with " + prefix + " are the runner's"
		}
	}
	return ""
}

// refusedInFile says why the file GITHUB_ENV cannot set a variable: it reaches
// later steps, which may be trusted with more than the one that writes it.
func refusedInFile(name string) string {
	switch upper := strings.ToUpper(name); upper {
	case "NODE_OPTIONS", "BASH_ENV", "LD_PRELOAD":
		return "it could run code in later steps"
	case "CI":
		return "it is the runner's"
	}
	return refusedVariable(name)
}
