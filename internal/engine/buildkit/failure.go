package buildkit

import (
	"errors"
	"regexp"
	"strings"

	gatewaypb "github.com/moby/buildkit/frontend/gateway/pb"
	solvererrdefs "github.com/moby/buildkit/solver/errdefs"
	digest "github.com/opencontainers/go-digest"

	"github.com/jetcrate/jetcrate/internal/engine"
)

// faults are failures that the recipe asked for, as BuildKit v0.30 words them:
// it gives them no type. What is not here counts as the engine's failure, which
// at worst is tried again.
var faults = []*regexp.Regexp{
	regexp.MustCompile(`digest mismatch .*`),                                            // ADD --checksum
	regexp.MustCompile(`invalid response status 4(?:0[0134]|10)\b.*`),                   // ADD of a URL that is gone
	regexp.MustCompile(`failed to calculate checksum of ref \S+: ("[^"]*": not found)`), // COPY
	regexp.MustCompile(`secret [^ ]+: not found`),                                       // RUN --mount=type=secret,required
	regexp.MustCompile(`unable to find (?:user|group) .*`),                              // USER
	regexp.MustCompile(`lstat /\S*: no such file or directory$`),                        // COPY --from
	regexp.MustCompile(`successfully: (open /\S*: no such file or directory)$`),         // bind mount of a stage
	regexp.MustCompile(`dockerfile parse error .*`),
	regexp.MustCompile(`target stage .* could not be found`),
	regexp.MustCompile(`failed to process "[^"]*": .*`), // expansion in an instruction
	regexp.MustCompile(`base name \(.*\) should not be blank`),
	regexp.MustCompile(`circular dependency detected on stage.*`),
}

// mismatch is how BuildKit says that what ADD fetched has another checksum. It
// says so too where a server answered with an error page.
var mismatch = regexp.MustCompile(`digest mismatch (sha256:[0-9a-f]+): (sha256:[0-9a-f]+)`)

// stepError reads a failed solve: nil when the recipe is not to blame.
func stepError(err error, p *progress) *engine.StepError {
	out := &engine.StepError{}
	var vertex *solvererrdefs.VertexError
	if errors.As(err, &vertex) {
		if st, ok := p.steps[digest.Digest(vertex.Digest)]; ok {
			out.Step, out.Log = st.name, st.log()
		}
	}
	if out.Step == "" {
		out.Step = instruction(err)
	}
	var exit *gatewaypb.ExitError
	if errors.As(err, &exit) {
		code, engineFault := StartFailure(int(exit.ExitCode), out.Log)
		if engineFault != nil {
			return nil
		}
		out.Code = code
		return out
	}
	if fault := FaultOf(err.Error()); fault != "" {
		out.Fault = fault
		return out
	}
	return nil
}

// FaultOf is the part of a message of BuildKit that says what the recipe did
// wrong; "" where the message says nothing of the kind.
func FaultOf(message string) string {
	for _, re := range faults {
		if found := re.FindStringSubmatch(message); found != nil {
			m := found[len(found)-1] // the group, if there is one
			return mismatch.ReplaceAllString(m, "the checksum differs: the recipe says $2, what was fetched has $1")
		}
	}
	return ""
}

// instruction is the line of the Dockerfile that the error points at.
func instruction(err error) string {
	for _, src := range solvererrdefs.Sources(err) {
		if src.Info == nil || len(src.Ranges) == 0 {
			continue
		}
		lines := strings.Split(string(src.Info.Data), "\n")
		if at := int(src.Ranges[0].Start.Line); at >= 1 && at <= len(lines) {
			return strings.TrimSpace(lines[at-1])
		}
	}
	return "Dockerfile"
}

// runcFailed begins what runc writes, into the command's own stderr, when it
// could not start the command; it then exits with 1, as many a command does.
const runcFailed = "runc run failed: "

// StartFailure looks through an exit code: a command that wrote nothing but
// runc's complaint never ran. If there is no such program, that is the
// recipe's affair, and the code is what a shell would give; otherwise the
// engine failed.
func StartFailure(code int, wrote string) (int, error) {
	complaint, ok := strings.CutPrefix(strings.TrimSpace(wrote), runcFailed)
	switch {
	case code != 1 || !ok || strings.Contains(complaint, "\n"):
		return code, nil
	case !strings.Contains(complaint, `: exec: "`):
		return 0, errors.New(complaint)
	case strings.Contains(complaint, "permission denied"):
		return 126, nil
	default:
		return 127, nil
	}
}
