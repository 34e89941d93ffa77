"""gRPC and HTTP edges of the fakes."""
