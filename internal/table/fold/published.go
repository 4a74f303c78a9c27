package fold

import (
	"github.com/jetcrate/jetcrate/internal/plan"
	"github.com/jetcrate/jetcrate/internal/table"
)

// Published folds the log of what was published to a place and the plan. rows are
// those of the log with their status, others the entries that publish nothing,
// and head is the signed one of all of them. A cell of the plan that was never
// published, or whose images were all withdrawn, has a row that says so.
func Published(p *plan.Plan, place string, rows []table.Row, others []table.Numbered, head string, about About) *table.Table {
	t := &table.Table{Schema: table.Schema, Repository: place, Rows: append([]table.Row{}, rows...)}
	if head != "" {
		t.Log = &table.Log{Head: head, Entries: others}
	}
	current, taken := map[string]bool{}, map[string]*table.Row{}
	for i := range rows {
		switch r := &rows[i]; r.Status {
		case table.Current:
			current[r.CellID()] = true
		case table.Withdrawn:
			taken[r.CellID()] = r // the last one
		}
	}
	for _, c := range p.Cells {
		row := table.Row{Target: c.Target, Roots: c.Asked, Platform: platform(c.Platform), Hosts: c.Hosts, Status: table.Current, State: table.NotBuilt}
		if current[row.CellID()] {
			continue
		}
		if c.Impossible != nil {
			row.State, row.Reason, row.Roots = table.Impossible, c.Impossible.Error(), names(c)
		} else {
			row.Reason = "it is not published"
			for _, r := range c.Packages {
				aliases, models := about(r.Name)
				row.Packages = append(row.Packages, table.Package{Name: r.Name, Version: r.Version, Options: r.Options, Aliases: aliases, Models: models})
			}
		}
		if bad := taken[row.CellID()]; bad != nil {
			row.Reason = withdrawn(bad)
			delete(taken, row.CellID())
		}
		t.Rows = append(t.Rows, row)
	}
	// Cells that the plan does not have any more.
	for i := range rows {
		bad := &rows[i]
		if id := bad.CellID(); taken[id] == bad && !current[id] {
			t.Rows = append(t.Rows, table.Row{
				Target: bad.Target, Roots: bad.Roots, Packages: bad.Packages, Platform: bad.Platform, Hosts: bad.Hosts,
				Status: table.Current, State: table.NotBuilt, Reason: withdrawn(bad),
			})
		}
	}
	t.Sort()
	return t
}

func withdrawn(r *table.Row) string { return "its image was withdrawn: " + r.Withdrawal.Reason }
