// Package dagger stands in for what `dagger develop` generates in
// ci/internal/dagger, so that ci/ compiles without an engine. The generated
// types have the public SDK's methods, so they are the public SDK's here.
package dagger

import "dagger.io/dagger"

type (
	Client              = dagger.Client
	Container           = dagger.Container
	CurrentModule       = dagger.CurrentModule
	Directory           = dagger.Directory
	DirectoryExportOpts = dagger.DirectoryExportOpts
	File                = dagger.File
	Secret              = dagger.Secret
)
