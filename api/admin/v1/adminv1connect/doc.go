// Package adminv1connect has the client and the HTTP handler of the admin API.
package adminv1connect
