package control

import (
	"context"
	"errors"
	"fmt"
	"net/http"
)

// Error is a failure with what to do about it. On the wire it is
// {"error": "...", "remedy": "..."}.
type Error struct {
	Status  int    `json:"-"` // HTTP status; 0 where no server was reached
	Message string `json:"error"`
	Remedy  string `json:"remedy,omitempty"`
}

// Error returns the message without the remedy.
func (e *Error) Error() string { return e.Message }

func badRequest(message, remedy string) *Error {
	return &Error{Status: http.StatusBadRequest, Message: message, Remedy: remedy}
}

// toError gives any error of a backend its place in HTTP.
func toError(err error) *Error {
	var e *Error
	switch {
	case errors.As(err, &e):
		if http.StatusText(e.Status) == "" || e.Status < 400 {
			return &Error{http.StatusInternalServerError, e.Message, e.Remedy}
		}
		return e
	case errors.Is(err, context.DeadlineExceeded):
		return &Error{
			http.StatusGatewayTimeout,
			fmt.Sprintf("the router did not answer within %v", callTimeout),
			"look into its log: is the process stopped, or short of CPU time?",
		}
	case errors.Is(err, context.Canceled):
		return &Error{http.StatusServiceUnavailable, "the router is stopping", ""}
	}
	return &Error{http.StatusInternalServerError, err.Error(), ""}
}
