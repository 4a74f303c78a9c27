package jet

import (
	"strings"

	"github.com/spf13/pflag"
)

// shortSwitches are the one-letter flags of docker run that take no value, and
// longSwitches the others; all the rest take one, after = or as the next word.
const shortSwitches = "ditPq"

func longSwitches() string {
	return " detach interactive tty publish-all quiet init no-healthcheck oom-kill-disable privileged read-only rm sig-proxy disable-content-trust use-api-socket "
}

// split takes the flags for docker out of the words after `jet run`: those that
// jet does not know. What comes after -- is the container's command and stays.
func split(known *pflag.FlagSet, words []string) (own, docker []string) {
	for i := 0; i < len(words); i++ {
		w := words[i]
		switch {
		case w == "--":
			return append(own, words[i:]...), docker
		case len(w) < 2 || w[0] != '-':
			own = append(own, w)
		case isKnown(known, w):
			own = append(own, w)
			if takesWord(known, w) && i+1 < len(words) {
				i++
				own = append(own, words[i])
			}
		default:
			docker = append(docker, w)
			// A value that is -- is more likely a flag without one, or a slip.
			if dockerTakesWord(w) && i+1 < len(words) && words[i+1] != "--" {
				i++
				docker = append(docker, words[i])
			}
		}
	}
	return own, docker
}

func isKnown(known *pflag.FlagSet, w string) bool { return lookup(known, w) != nil || isHelp(w) }

func isHelp(w string) bool { return w == "--help" || w == "-h" }

func lookup(known *pflag.FlagSet, w string) *pflag.Flag {
	name, _, _ := strings.Cut(w, "=")
	if long, ok := strings.CutPrefix(name, "--"); ok {
		return known.Lookup(long)
	}
	return nil // jet run has no short flags of its own
}

// takesWord reports whether a flag of jet takes its value from the next word.
func takesWord(known *pflag.FlagSet, w string) bool {
	f := lookup(known, w)
	return f != nil && f.NoOptDefVal == "" && !strings.Contains(w, "=")
}

func dockerTakesWord(w string) bool {
	if long, ok := strings.CutPrefix(w, "--"); ok {
		return !strings.Contains(long, "=") && !strings.Contains(longSwitches(), " "+long+" ")
	}
	// -it: switches only. -p80:80: the rest is the value. -p: the next word is.
	rest := strings.TrimLeft(w[1:], shortSwitches)
	return len(rest) == 1
}
