package jet

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/jetcrate/jetcrate/internal/diag"
	"github.com/jetcrate/jetcrate/internal/host"
)

func (a *app) hostCommand() *cobra.Command {
	q := &question{app: a}
	var output string
	cmd := &cobra.Command{
		Use:   "host",
		Short: "Say what this device is, and where each fact comes from",
		Long: `Prints what the device's files say of it. Each fact has its source; what no file
says is unknown, with the reason.`,
		Example: `  jet host
  jet host -o json
  jet host --root /mnt/other-jetson`,
		Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			if err := checkOutput(output); err != nil {
				return err
			}
			fsys, err := q.fs()
			if err != nil {
				return err
			}
			d := host.Inspect(fsys)
			if output == "json" {
				return a.json(d)
			}
			for _, f := range factLines(d) {
				if err := a.line(fmt.Sprintf("%-16s %s", f.name, diag.Escape(f.text))); err != nil {
					return err
				}
			}
			for _, c := range d.Conflicts {
				if err := a.line("contradiction    " + diag.Escape(c)); err != nil {
					return err
				}
			}
			return nil
		},
	}
	q.rootFlag(cmd)
	outputFlag(cmd, &output)
	return cmd
}

type factLine struct{ name, text string }

func factLines(d host.Device) []factLine {
	return []factLine{
		{"L4T", d.L4T.String()}, {"JetPack", d.JetPack.String()}, {"model", d.Model.String()}, {"module", d.Module.String()},
		{"SoC", d.SoC.String()}, {"GPU", d.GPU.String()}, {"accelerators", d.Accelerators.String()}, {"board", d.Board.String()},
		{"flavour", d.Flavour.String()}, {"architecture", d.Arch.String()}, {"OS", d.OS.String()}, {"kernel", d.Kernel.String()},
		{"GPU driver", d.Driver.String()}, {"CUDA toolkit", d.CUDA.String()}, {"memory", d.Memory.String()}, {"swap", d.Swap.String()},
		{"zram", d.Zram.String()}, {"power mode", d.PowerMode.String()}, {"container", d.Container.String()},
		{"Docker", d.Docker.Version.String()}, {"Docker's root", d.Docker.Root.String()}, {"its disk", d.Docker.Disk.String()},
		{"runtimes", d.Docker.Runtimes.String()}, {"default runtime", d.Docker.DefaultRuntime.String()}, {"NVIDIA toolkit", d.Docker.Toolkit.String()},
		{"its mode", d.Docker.Mode.String()}, {"CDI devices", d.Docker.CDI.String()}, {"iptables raw", d.Docker.RawTable.String()},
	}
}
