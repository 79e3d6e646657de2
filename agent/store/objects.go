// SPDX-License-Identifier: Apache-2.0

package store

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/sluice-io/sluice/policy"
	"github.com/sluice-io/sluice/policy/manifest"
)

const stagedSuffix = ".tmp"

func (s *Store) objectsDir() string { return filepath.Join(s.cfg.StateDir, "objects") }

// objectPath is where a PUT object is kept. It is named by a hash since kind,
// namespace and name together may be longer than a file name.
func (s *Store) objectPath(ref policy.Ref) string {
	return filepath.Join(s.objectsDir(), hashName(ref.String()))
}

func hashName(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:]) + ".json"
}

// loadObjects reads what was PUT. A file that cannot be read is a problem, and
// stays for a person to look at.
func (s *Store) loadObjects() error {
	s.puts = make(map[policy.Ref]*manifest.Object)
	entries, err := os.ReadDir(s.objectsDir())
	if err != nil {
		return fmt.Errorf("list objects: %w", err)
	}
	for _, e := range entries {
		path := filepath.Join(s.objectsDir(), e.Name())
		if filepath.Ext(path) == stagedSuffix {
			_ = os.Remove(path) // a change that was under way when the agent died
			continue
		}
		obj, err := readObject(path)
		if err == nil && s.objectPath(obj.Ref) != path {
			err = fmt.Errorf("%s does not belong into this file; remove it", obj.Ref)
		}
		if err != nil {
			s.broken = append(s.broken, problemsOf(path, "", err)...)
			continue
		}
		s.puts[obj.Ref] = obj
	}
	return nil
}

func readObject(path string) (*manifest.Object, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return manifest.Parse(data)
}

// stageObject writes an object beside its place and returns where.
func (s *Store) stageObject(obj *manifest.Object) (string, error) {
	tmp := s.objectPath(obj.Ref) + stagedSuffix
	if err := writeSynced(tmp, obj.JSON); err != nil {
		s.dropStaged(tmp)
		return "", fmt.Errorf("keep object: %w", err)
	}
	return tmp, nil
}

func writeSynced(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Sync(), f.Close())
}

func (s *Store) dropStaged(tmp string) {
	_ = os.Remove(tmp) // what is left goes at the next start
}

func (s *Store) keepObject(tmp string, ref policy.Ref) error {
	if err := os.Rename(tmp, s.objectPath(ref)); err != nil {
		return fmt.Errorf("keep object: %w", err)
	}
	return nil
}

func (s *Store) removeObject(ref policy.Ref) error {
	if err := os.Remove(s.objectPath(ref)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove object: %w", err)
	}
	return nil
}
