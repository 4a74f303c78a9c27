package jet

import (
	"bytes"
	_ "embed"
	"fmt"

	"github.com/jetcrate/jetcrate/internal/table"
)

// embeddedTable is empty, unless a release was made with a table (TABLE=FILE
// cmd/jet/release.sh): the last resort of a device that never fetched one.
//
//go:embed embedded.json
var embeddedTable []byte

// embedded is the table that jet was made with; nil is none.
func embedded() (*table.Table, error) {
	if len(bytes.TrimSpace(embeddedTable)) == 0 {
		return nil, nil
	}
	t, err := table.Read(bytes.NewReader(embeddedTable))
	if err != nil {
		return nil, fmt.Errorf("the table that jet was made with: %w", err)
	}
	return t, nil
}
