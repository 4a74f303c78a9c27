package plan

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strings"
)

// githubJob is an entry of a matrix of GitHub Actions.
type githubJob struct {
	Shard   string   `json:"shard"`
	Args    string   `json:"args"`    // for jetcrate build, beside what the plan was asked for
	RunsOn  []string `json:"runs-on"` // labels
	Device  string   `json:"device"`  // L4T release of the Jetson; "" is none
	Nodes   int      `json:"nodes"`
	Minutes float64  `json:"minutes"` // expected
	Cells   string   `json:"cells"`   // tags, for people
}

// shownCells is how many cells a job's entry names.
const shownCells = 3

// GitHub gives the shards as lines for $GITHUB_OUTPUT: a matrix for each of waves
// waves, with an empty include for those that the plan does not need. runsOn are
// the labels of runners; a device's has self-hosted, jetson and l4t-RELEASE.
func (s Shards) GitHub(waves int, runsOn []string) ([]byte, error) {
	var out bytes.Buffer
	fmt.Fprintf(&out, "shards=%d\nshard-plan=%s\nwaves=%d\n", s.Count, s.ID, len(s.Waves))
	for i := range max(waves, len(s.Waves)) {
		m := struct {
			Include []githubJob `json:"include"`
		}{[]githubJob{}}
		if i < len(s.Waves) {
			for _, x := range s.Waves[i] {
				j := githubJob{
					Shard: x.Name, Args: strings.Join(s.Args(x, waves), " "), RunsOn: runsOn, Device: x.Device, Nodes: len(x.Nodes),
					Minutes: math.Round(x.Took.Minutes()*10) / 10, Cells: strings.Join(x.Cells, ", "),
				}
				if more := len(x.Cells) - shownCells; more > 0 {
					j.Cells = fmt.Sprintf("%s and %d more", strings.Join(x.Cells[:shownCells], ", "), more)
				}
				if x.Device != "" {
					j.RunsOn = []string{"self-hosted", "jetson", "l4t-" + x.Device}
				}
				m.Include = append(m.Include, j)
			}
		}
		b, err := json.Marshal(m)
		if err != nil {
			return nil, fmt.Errorf("writing the matrix: %w", err)
		}
		fmt.Fprintf(&out, "wave%d=%s\n", i+1, b)
	}
	return out.Bytes(), nil
}

// Args are the flags with which jetcrate build makes a shard.
func (s Shards) Args(x Shard, waves int) []string {
	args := []string{"--shard", x.Name, "--shards", fmt.Sprint(s.Count), "--waves", fmt.Sprint(waves), "--shard-plan", s.ID}
	if s.Devices {
		args = append(args, "--devices")
	}
	if s.Shared {
		args = append(args, "--shared")
	}
	return args
}
