// SPDX-License-Identifier: Apache-2.0

package store

import (
	"crypto/sha256"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/sluice-io/sluice/policy"
	"github.com/sluice-io/sluice/policy/manifest"
)

// folder is what was last read of the folder of manifests.
type folder struct {
	files    []*file // by name
	problems []Problem
	unread   bool // it or one of its files could not be read
}

// file is one manifest: its objects in force and what is wrong with the rest. It
// is never changed once made.
type file struct {
	name     string
	sum      [sha256.Size]byte // of the content; zero if it could not be read
	objects  []document
	problems []Problem
}

type document struct {
	*manifest.Object
	document string
}

// scan reads the folder again. What cannot be read stays as it was.
func (s *Store) scan(old folder) folder {
	entries, err := os.ReadDir(s.cfg.Manifests)
	if err != nil {
		return folder{old.files, problemsOf(s.cfg.Manifests, "", err), true}
	}
	known := make(map[string]*file, len(old.files))
	for _, f := range old.files {
		known[f.name] = f
	}
	var next folder
	for _, e := range entries {
		if !isManifest(e.Name()) {
			continue
		}
		prev := known[e.Name()]
		if prev == nil {
			prev = &file{name: e.Name()}
		}
		if f := readFile(s.cfg.Manifests, prev); f != nil {
			next.files = append(next.files, f)
			next.unread = next.unread || f.sum == [sha256.Size]byte{}
		}
	}
	return next
}

func isManifest(name string) bool {
	switch filepath.Ext(name) {
	case ".yaml", ".yml", ".json":
		return !strings.HasPrefix(name, ".")
	}
	return false
}

// readFile reads one manifest; nil if it is none, or no more.
func readFile(dir string, prev *file) *file {
	path := filepath.Join(dir, prev.name)
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && info.IsDir() {
		return nil
	}
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("not a file; remove it") // to open a FIFO would block
	}
	var data []byte
	if err == nil {
		data, err = os.ReadFile(path)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return &file{name: prev.name, objects: prev.objects, problems: problemsOf(prev.name, "", err)}
	}
	return parseFile(data, prev)
}

// parseFile returns prev itself if the content is the same.
func parseFile(data []byte, prev *file) *file {
	sum := sha256.Sum256(data)
	if sum == prev.sum {
		return prev
	}
	f := &file{name: prev.name, sum: sum}
	docs, err := manifest.Split(data)
	if err != nil {
		f.objects, f.problems = prev.objects, problemsOf(f.name, "", err)
		return f
	}
	seen := make(map[policy.Ref]string)
	var broken []manifest.Document
	for _, doc := range docs {
		obj, err := manifest.Parse(doc.Data)
		if err != nil {
			f.problems = append(f.problems, problemsOf(f.name, doc.String(), err)...)
			broken = append(broken, doc)
			continue
		}
		if first, ok := seen[obj.Ref]; ok {
			f.problems = append(f.problems, Problem{f.name, doc.String(), "metadata.name",
				obj.Ref.String() + " is refused: it stands in " + first + " already; remove one of the two"})
			continue
		}
		seen[obj.Ref] = doc.String()
		f.objects = append(f.objects, document{obj, doc.String()})
	}
	for _, o := range prev.objects {
		if _, ok := seen[o.Ref]; !ok && anyMayBe(broken, o.Ref) {
			f.objects = append(f.objects, o)
		}
	}
	return f
}

// anyMayBe is true if one of the broken documents is meant to be an object. One
// that does not even tell its name may be any of them.
func anyMayBe(broken []manifest.Document, ref policy.Ref) bool {
	for _, doc := range broken {
		var meta struct {
			Kind     policy.Kind `json:"kind"`
			Metadata struct {
				Namespace string `json:"namespace"`
				Name      string `json:"name"`
			} `json:"metadata"`
		}
		if yaml.Unmarshal(doc.Data, &meta) != nil || meta.Kind == "" || meta.Metadata.Name == "" {
			return true
		}
		namespace := meta.Metadata.Namespace
		if meta.Kind == ref.Kind && meta.Metadata.Name == ref.Name &&
			(namespace == ref.Namespace || namespace == "" && ref.Namespace == "default") {
			return true
		}
	}
	return false
}

// problemsOf makes one problem of each field that an error names.
func problemsOf(file, document string, err error) []Problem {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var list []Problem
		for _, e := range joined.Unwrap() {
			var field *policy.FieldError
			if !errors.As(e, &field) {
				list = nil
				break
			}
			list = append(list, fieldProblem(file, document, field))
		}
		if list != nil {
			return list
		}
	}
	var field *policy.FieldError
	if errors.As(err, &field) {
		return []Problem{fieldProblem(file, document, field)}
	}
	if path, ok := errors.AsType[*fs.PathError](err); ok {
		err = path.Err // file says where
	}
	return []Problem{{File: file, Document: document, Reason: err.Error()}}
}

func fieldProblem(file, document string, e *policy.FieldError) Problem {
	reason := e.Reason
	if e.Value != "" {
		reason = `"` + e.Value + `": ` + reason
	}
	return Problem{file, document, e.Field, reason}
}
