// SPDX-License-Identifier: Apache-2.0

package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-io/sluice/agent/rpc"
	"github.com/sluice-io/sluice/agent/store"
	"github.com/sluice-io/sluice/policy"
	"github.com/sluice-io/sluice/policy/manifest"
)

// requestError is an error with its HTTP status.
type requestError struct {
	code int
	body rpc.Error
}

func (e *requestError) Error() string { return e.body.Message }

// fail answers an error with the status that it stands for.
func fail(w http.ResponseWriter, err error) {
	body := rpc.Error{Message: strings.ReplaceAll(err.Error(), "\n", "; ")}
	var field *policy.FieldError
	if errors.As(err, &field) {
		body.Field, body.Value = field.Field, field.Value
	}
	code := http.StatusInternalServerError
	var request *requestError
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &request):
		code, body = request.code, request.body
	case errors.As(err, &tooLarge):
		code = http.StatusRequestEntityTooLarge
		body.Message = "larger than 1 MiB; split it"
	case errors.Is(err, manifest.ErrSyntax):
		code = http.StatusBadRequest
	case errors.Is(err, manifest.ErrUnknownKind) && field != nil:
		code, body.Message = http.StatusNotFound, field.Error()
	case errors.Is(err, store.ErrNotFound):
		code = http.StatusNotFound
	case errors.Is(err, store.ErrManifest):
		code = http.StatusConflict
	case errors.Is(err, ErrNoFit):
		code = http.StatusInsufficientStorage
	case field != nil:
		code = http.StatusUnprocessableEntity
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		code = http.StatusServiceUnavailable
	}
	answer(w, code, body)
}

// answer writes one JSON value. Its length is always given, so that a client
// sees when an answer was cut short.
func answer(w http.ResponseWriter, code int, value any) error {
	return answerLines(w, code, []any{value}, "application/json")
}

func answerLines[T any](w http.ResponseWriter, code int, values []T, contentType string) error {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	for _, v := range values {
		if err := enc.Encode(v); err != nil {
			return err
		}
	}
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Length", strconv.Itoa(out.Len()))
	w.WriteHeader(code)
	_, _ = w.Write(out.Bytes()) // a client that left needs no answer
	return nil
}

// readBody reads a request whole, and in time.
func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	var tooLarge *http.MaxBytesError
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil, &requestError{http.StatusRequestTimeout, rpc.Error{Message: "read body: it did not come in time"}}
	}
	if err == nil {
		err = http.NewResponseController(w).SetReadDeadline(time.Time{}) // or the request would end with it
	}
	if err != nil && !errors.As(err, &tooLarge) {
		return nil, &requestError{http.StatusBadRequest, rpc.Error{Message: "read body: " + err.Error()}}
	}
	return data, err
}
