// Package ext is where a distribution of Traefik adds to its dynamic configuration. This one adds nothing: Traefik's
// own copy lies in a nested module of its repository, which the module proxy does not have.
package ext

// HTTP is added to the HTTP configuration.
type HTTP struct{}

// Router is added to each HTTP router.
type Router struct{}
