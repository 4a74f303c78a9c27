package store

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/static"

	"github.com/jetcrate/jetcrate/internal/image"
)

const (
	fileListType  = "application/vnd.jetcrate.files.v1"
	fileListDoc   = "application/vnd.jetcrate.files.v1+json+gzip"
	installedType = "application/vnd.jetcrate.installed.v1"
	installedDoc  = "application/vnd.jetcrate.installed.v1+json"
)

// FileList gives what a layer holds. A layer is read once, and what it holds and
// what it brings come from the store after that.
func (s *Store) FileList(ctx context.Context, l v1.Layer) (image.FileList, error) {
	id, err := l.DiffID()
	if err != nil {
		return nil, err
	}
	files, err := s.fileList(ctx, id)
	if errors.Is(err, ErrNotFound) {
		files, _, err = s.look(ctx, l, id)
	}
	if err != nil {
		err = fmt.Errorf("reading what the layer %s holds: %w", id, err)
	}
	return files, err
}

// Installed gives what a layer brings, as FileList does what it holds.
func (s *Store) Installed(ctx context.Context, l v1.Layer) (Installed, error) {
	id, err := l.DiffID()
	if err != nil {
		return Installed{}, err
	}
	set, err := s.installed(ctx, id)
	if errors.Is(err, ErrNotFound) {
		_, set, err = s.look(ctx, l, id)
	}
	if err != nil {
		err = fmt.Errorf("reading what is installed in the layer %s: %w", id, err)
	}
	return set, err
}

// look reads a layer and records what it holds and what it brings.
func (s *Store) look(ctx context.Context, l v1.Layer, id v1.Hash) (image.FileList, Installed, error) {
	rc, err := l.Uncompressed()
	if err != nil {
		return nil, Installed{}, err
	}
	defer rc.Close()
	return s.Look(ctx, id, rc)
}

// Look reads the tar of a layer, which is whole if it ends with io.EOF, and records
// what it holds and what it brings: the layer need not be read for that.
func (s *Store) Look(ctx context.Context, diffID v1.Hash, tar io.Reader) (image.FileList, Installed, error) {
	files, set, err := readTar(tar)
	if err == nil {
		err = s.putFileList(ctx, diffID, files)
	}
	if err == nil {
		err = s.putInstalled(ctx, diffID, set)
	}
	return files, set, err
}

// readTar reads the tar of a layer, to its end. Its files are hashed beside the rest.
func readTar(tar io.Reader) (image.FileList, Installed, error) {
	const chunk = 256 << 10
	pr, pw := io.Pipe()
	listed := make(chan error, 1)
	var files image.FileList
	go func() {
		in := bufio.NewReaderSize(pr, chunk)
		list, err := image.ListTar(in)
		if err == nil {
			_, err = io.Copy(io.Discard, in)
		}
		files = list
		pr.CloseWithError(err)
		listed <- err
	}()
	all := io.TeeReader(tar, pw)
	set, err := installedInTar(bufio.NewReaderSize(all, chunk))
	if err == nil {
		_, err = io.Copy(io.Discard, all) // who verifies what comes does so at its end
	}
	pw.CloseWithError(err)
	if lerr := <-listed; err == nil {
		err = lerr
	}
	return files, set, err
}

// putFileList stores what a layer holds. A list that is there is left alone,
// since the diff ID determines it.
func (s *Store) putFileList(ctx context.Context, diffID v1.Hash, files image.FileList) error {
	if err := s.writing(ctx); err != nil {
		return fmt.Errorf("storing the file list of %s: %w", diffID, err)
	}
	_, ok, err := s.Lookup(ctx, Files, diffID.Hex)
	if err != nil || ok {
		return err
	}
	var buf bytes.Buffer
	zw := gzip.NewWriter(&buf)
	if err := errors.Join(json.NewEncoder(zw).Encode(files), zw.Close()); err != nil {
		return fmt.Errorf("storing the file list of %s: %w", diffID, err)
	}
	d, err := s.upload(ctx, static.NewLayer(buf.Bytes(), fileListDoc))
	if err != nil {
		return s.explain("storing the file list of "+diffID.String(), err)
	}
	_, err = s.putArtifact(ctx, Files, diffID.Hex, artifact{kind: fileListType, layers: []v1.Descriptor{d}})
	return err
}

// fileList reads what a layer holds from its record.
func (s *Store) fileList(ctx context.Context, diffID v1.Hash) (image.FileList, error) {
	d, _, err := s.record(ctx, Files, diffID.Hex)
	if err != nil {
		return nil, err
	}
	raw, err := s.readBlob(ctx, d)
	if err != nil {
		return nil, err
	}
	zr, err := gzip.NewReader(bytes.NewReader(raw))
	if err != nil {
		return nil, err
	}
	var files image.FileList
	err = json.NewDecoder(zr).Decode(&files)
	return files, err
}

func (s *Store) putInstalled(ctx context.Context, diffID v1.Hash, set Installed) error {
	doing := "storing what is installed in " + diffID.String()
	raw, err := json.Marshal(set)
	if err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	if err := s.writing(ctx); err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	d, err := s.upload(ctx, static.NewLayer(raw, installedDoc))
	if err != nil {
		return s.explain(doing, err)
	}
	_, err = s.putArtifact(ctx, Packages, diffID.Hex, artifact{kind: installedType, layers: []v1.Descriptor{d}})
	return err
}

// installed reads what a layer brings from its record.
func (s *Store) installed(ctx context.Context, diffID v1.Hash) (Installed, error) {
	d, _, err := s.record(ctx, Packages, diffID.Hex)
	if err != nil {
		return Installed{}, err
	}
	raw, err := s.readBlob(ctx, d)
	if err != nil {
		return Installed{}, err
	}
	var set Installed
	err = json.Unmarshal(raw, &set)
	return set, err
}
