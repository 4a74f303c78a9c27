package resolve_test

import (
	"strings"
	"testing"

	"github.com/jetcrate/jetcrate/internal/resolve"
	"github.com/jetcrate/jetcrate/internal/table"
	"github.com/stretchr/testify/require"
)

func TestFleet(t *testing.T) {
	tab := lines()
	for i := range tab.Rows {
		tab.Rows[i].Platform.GPU = map[string][]string{
			"32.7.1": {"sm_53", "sm_62", "sm_72"}, "35.4.1": {"sm_72", "sm_87"}, "36.3.0": {"sm_87"}, "36.4.0": {"sm_87"}, "38.2.0": {"sm_110"}, "39.1.0": {"sm_87", "sm_110"},
		}[tab.Rows[i].Platform.L4T]
	}
	tab.Rows = append(tab.Rows, row("36.4.3", ">=36.4 <37", "pytorch", "2.9.0", failed, gpu("sm_87")))
	cases := []struct {
		name     string
		hosts    []string // release, and GPU after a space
		chosen   string
		upgrades []resolve.Upgrade
	}{
		{"one line", []string{"36.4.3 sm_87", "36.5.0 sm_87", "36.4.0"}, "36.4.0", nil},
		{"one device is behind", []string{"36.4.3 sm_87", "36.3.0 sm_87", "36.4.7 sm_87"}, "36.4.0", []resolve.Upgrade{{Name: "1", From: "36.3.0", To: "36.4.0"}}},
		{"the fewest upgrades", []string{"35.4.1 sm_87", "36.3.0 sm_87", "36.3.0 sm_87"}, "36.3.0", []resolve.Upgrade{{Name: "0", From: "35.4.1", To: "36.3.0"}}},
		{"a Nano cannot follow", []string{"32.7.1 sm_53", "36.4.3 sm_87"}, "", nil},
		{"Xavier and Orin meet on 35", []string{"35.4.1 sm_72", "35.6.4 sm_87"}, "35.4.1", nil},
		{"nobody goes down", []string{"35.4.1 sm_72", "36.4.3 sm_87"}, "", nil},
		{"Orin and Thor meet on 39", []string{"36.4.3 sm_87", "38.2.0 sm_110"}, "39.1.0", []resolve.Upgrade{{Name: "0", From: "36.4.3", To: "39.1.0"}, {Name: "1", From: "38.2.0", To: "39.1.0"}}},
		{"an unknown device", []string{" sm_87", "36.4.3 sm_87"}, "", nil},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var members []resolve.Member
			for i, h := range c.hosts {
				m := resolve.Member{Name: string(rune('0' + i))}
				l4t, sm, _ := strings.Cut(h, " ")
				m.Host.L4T, m.Host.GPU, m.Host.Tegra = release(t, l4t), sm, sm != ""
				members = append(members, m)
			}
			a, err := resolve.Fleet(tab, resolve.Query{Packages: want(t, "pytorch")}, members)
			require.NoError(t, err)
			require.Len(t, a.Alone, len(members))
			require.Equal(t, c.upgrades, a.Upgrades)
			if c.chosen == "" {
				require.Nil(t, a.Chosen)
				return
			}
			require.NotNil(t, a.Chosen)
			require.Equal(t, c.chosen, a.Chosen.Row.Platform.L4T)
			require.NotEqual(t, table.NotBuilt, a.Chosen.Row.State)
		})
	}
}
