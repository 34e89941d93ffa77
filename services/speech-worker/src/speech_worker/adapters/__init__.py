"""The world outside: Riva's gRPC services and Prometheus."""
