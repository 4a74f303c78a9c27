package fake_test

import (
	"testing"

	"github.com/jetcrate/jetcrate/internal/engine"
	"github.com/jetcrate/jetcrate/internal/engine/enginetest"
	"github.com/jetcrate/jetcrate/internal/engine/fake"
)

func TestConformance(t *testing.T) {
	enginetest.Run(t, func() engine.Engine { return &fake.Engine{} }, enginetest.Features{})
}
